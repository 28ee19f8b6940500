"""Whom to ask for one domain, and what they have to show: what the DNS and the policies say.

Looks up, and lets `relayd.policy.delivery.mx` choose. No slot is taken yet: nobody else waits for the answers.

Source: RFC 5321 §5.1.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TypeVar

from relayd.deliverer.nexthop.hosts import HostFailure, NoHost
from relayd.deliverer.nexthop.mx_parts import STORE_AGAIN, MxParts
from relayd.deliverer.nexthop.search import may_ask
from relayd.deliverer.trust import DomainTrust
from relayd.errors import StoreBroken, StoreError
from relayd.mail.attempt import Breakdown, RouteKind
from relayd.mail.dns import Addresses
from relayd.mail.reply import Stage
from relayd.mail.words import Fault
from relayd.policy.delivery.mx import Candidates, HostPlan, Undeliverable, choose, plan_hosts
from relayd.policy.delivery.route import HostPort, RouteFacts
from relayd.policy.delivery.source import pool_of, unused_families
from relayd.ports.outward import SessionFailed
from relayd.trace import tracing

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Way:
    """Whom to ask in one attempt, and what they have to show."""

    chosen: Candidates
    trust: DomainTrust


async def find_way(
    domain: str,
    facts: RouteFacts,
    parts: MxParts,
    *,
    after: Sequence[HostFailure],
    lifts_policies: bool,
) -> Way:
    """Return the way of mail of `facts`, with what the best hosts have to show looked up. Raises NoHost, NotYet.

    `after` are the hosts that failed in this attempt so far.
    """
    trust = parts.trust.of(domain, is_lifted=lifts_policies)
    trust.begin()
    chosen = await candidates(domain, facts, parts)  # bounded by the resolver
    if tracing.is_on:
        _tell_choice(chosen)
    if not isinstance(chosen, Candidates):
        raise NoHost((*after, _proof(domain, chosen, parts)))
    if not any(may_ask(each.host, parts.address_of(each), after) for each in chosen.candidates):
        raise NoHost(tuple(after), all_asked=chosen.is_all)
    await _load(trust, chosen, parts)
    return Way(chosen, trust)


async def candidates(
    domain: str, facts: RouteFacts, parts: MxParts
) -> Candidates | Undeliverable | Breakdown:
    """Return whom to connect to with mail of `facts`, or why nobody; also what `relayd route` shows."""
    sources = tuple(each.address for each in pool_of(parts.settings.sources, facts))
    answer = await parts.resolver.mx(domain)
    plan = plan_hosts(domain, answer, parts.rules, chance=parts.chance)
    if not isinstance(plan, HostPlan):
        return plan
    names = [host.name for host in plan.hosts]
    found = await _all([parts.resolver.addresses(name) for name in names])
    addresses: Mapping[str, Addresses] = dict(zip(names, found, strict=True))
    own = frozenset(ip for each in found for ip in each.ips if parts.is_own(ip))
    rules = replace(
        parts.rules,
        own_addresses=own,
        sources=sources,
        resting=resting_sources(plan.site, sources, parts),
        unused=unused_families(parts.settings.families, sources, parts.settings.sources_named_by),
    )
    return choose(plan, addresses, rules)


def resting_sources(site: str, sources: Sequence[str], parts: MxParts) -> frozenset[str]:
    """Return the addresses of ours that mail to a site does not leave by now, if there is another one."""
    resting = frozenset(
        ip
        for ip in sources
        if not parts.may_send_from(ip_address(ip)) or parts.warm_ups.wait(site, ip)
    )
    if parts.paces is not None and len(sources) > 1:
        resting |= parts.paces.resting(site)
    return resting


async def _load(trust: DomainTrust, chosen: Candidates, parts: MxParts) -> None:
    """Look up what the domain asks of its best hosts. Raises NotYet."""
    best = {each.host: each for each in chosen.candidates if each.preference == chosen.best}
    try:
        await trust.load()
        await _all([trust.judge(each, chosen) for each in best.values()])
    except StoreBroken:
        raise
    except StoreError as error:
        raise parts.not_yet(STORE_AGAIN, str(error)) from error


async def _all(answers: Sequence[Awaitable[_Answer]]) -> Sequence[_Answer]:
    """Wait for all at once. Most domains have one host: a task for that one would cost more than it does."""
    return [await answers[0]] if len(answers) == 1 else await asyncio.gather(*answers)


def _proof(domain: str, why: Undeliverable | Breakdown, parts: MxParts) -> HostFailure:
    """Return what the DNS says as the failure of the domain itself."""
    if isinstance(why, Undeliverable):
        why = Breakdown(
            category=why.category,
            fault=Fault.DNS,
            reason=why.reason,
            status=why.status,
            needs_second_look=why.needs_second_look,
        )
    return HostFailure(
        host=HostPort(host=domain, port=parts.settings.port),
        at=parts.clock.now(),
        failed=SessionFailed(Stage.CONNECT, why),
        route=RouteKind.DIRECT,
    )


def _tell_choice(chosen: Candidates | Undeliverable | Breakdown) -> None:
    """Tell who looks on what the DNS gave."""
    if not isinstance(chosen, Candidates):
        tracing.tell("no_host", reason=chosen.reason)
        return
    hosts = ", ".join(f"{one.preference} {one.host} [{one.ip}]" for one in chosen.candidates)
    tracing.tell("hosts_found", hosts=hosts)
    for line in chosen.skipped:
        tracing.tell("host_skipped", reason=line)

"""What `relayd route` finds of one address, as fields: the names are those of its JSON."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import assert_never

from relayd.answers import rewrites
from relayd.cli.context import NotRunning, now, open_view
from relayd.cli.route.waiting import waiting_fields
from relayd.deliverer.trust import Judged
from relayd.errors import StoreError
from relayd.mail.address import Address
from relayd.mail.attempt import Breakdown, RouteKind
from relayd.mail.dns import ImplicitMx, MxAnswer, MxHosts
from relayd.net.dns.trusted import why_no_dane
from relayd.net.local import has_address, source_towards
from relayd.policy.delivery.mx import Candidates, Undeliverable
from relayd.policy.delivery.route import (
    OnHold,
    RouteFacts,
    ViaHost,
    ViaMx,
    ViaSmarthost,
    decide,
    forwarded,
    key_of,
)
from relayd.policy.delivery.route import Route as Way
from relayd.policy.delivery.source import pool_of, unused_families
from relayd.policy.delivery.verdict import ONCE_MORE
from relayd.policy.rewriting.choice import Rewriting
from relayd.policy.tls.require import HostRefused, NoTlsa, TlsaFound
from relayd.settings import Settings
from relayd.settings.smarthosts import settings_of

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """What the DNS says of a domain, and what delivery makes of it."""

    answer: MxAnswer
    chosen: Candidates | Undeliverable | Breakdown
    judged: Mapping[str, Judged]  # by host


def explain(
    wanted: Address, settings: Settings, facts: RouteFacts, *, alias: str | None = None
) -> tuple[Way, Fields]:
    """Return the route of an address and all that is known of it, as delivery would find it now.

    `alias` is the entry of `[aliases]` that leads to it.
    """
    told = forwarded(wanted, settings.routes)
    routes = settings.routes
    if routes.falls_back:
        routes = replace(routes, diverted=_diverted())
    decision = decide(told, facts, routes)
    way, found = decision.route, None
    if isinstance(way, ViaMx):
        from relayd.logs.operational import silenced  # noqa: PLC0415 -- only direct mode logs here
        from relayd.worker.outward import look_up  # noqa: PLC0415 -- brings the resolver

        with silenced():
            found = Found(*asyncio.run(look_up(settings, way.domain, facts)))
    fields: Fields = {
        "rcpt": str(wanted),
        "alias": alias,
        "redirected_to": None if told == wanted else str(told),
        "route": _kind(way),
        "reason": decision.reason,
        "destination": key_of(way),
        **_servers(settings, way, found, facts),
        **_rewriting(settings, key_of(way), facts.sender),
        **_with_verdict(waiting_fields(key_of(way), wanted, told, facts), _verdict(way, found)),
    }
    return way, fields


def _with_verdict(queue: Fields, verdict: Fields) -> Fields:
    """Return both; what is paused waits where nothing else speaks against the mail."""
    if verdict["verdict"] == "deliverable" and "why" in queue:
        verdict = {"verdict": "deferred"}
    return {**queue, **verdict}


def _kind(way: Way) -> str:
    """The word of the status log."""
    match way:
        case ViaMx():
            return RouteKind.DIRECT.value
        case ViaSmarthost() | ViaHost():
            return RouteKind.SMARTHOST.value
        case OnHold():
            return "hold"
        case _:
            assert_never(way)


def _servers(settings: Settings, way: Way, found: Found | None, facts: RouteFacts) -> Fields:
    """Who would be connected to, in this order, and how."""
    direct = settings.direct
    if found is not None:
        sources = [each.address for each in pool_of(direct.sources, facts)]
        left_out = unused_families(direct.families, sources, direct.sources_named_by)
        return {
            "mx": _mail_hosts(found.answer),
            **_candidates(found, settings),
            "dane": why_no_dane(settings) or ("on" if direct.dane else "off by direct.dane"),
            "tls": direct.tls,
            "login": False,
            "source_addresses": sources,
            "missing_sources": [each for each in sources if not has_address(ip_address(each))],
            "left_out": {f"ipv{version}": setting for version, setting in left_out.items()},
            "connections": direct.connections_per_destination,
            "messages_per_minute": direct.messages_per_minute or None,
        }
    match way:
        case ViaSmarthost(name):
            through = settings.smarthosts[name]
        case ViaHost(host):
            through = settings_of(host, settings.route_hosts)
        case _:
            return {}
    return {
        "hosts": [{"remote_host": host.host, "remote_port": host.port} for host in through.hosts],
        "tls": through.tls,
        "login": through.login is not None,
        "assume_8bit": through.assume_8bit,
        "connections": through.connections,
        "messages_per_second": through.limits.per_second or None,
        "messages_per_minute": through.limits.per_minute or None,
        "messages_per_hour": through.limits.per_hour or None,
        "messages_per_day": through.limits.per_day or None,
        "messages_per_connection": through.per_connection or None,
        "recipients_per_message": through.recipients,
    }


def _rewriting(settings: Settings, destination: str, sender: str | None) -> Fields:
    """What would be changed of mail of a sender, and who gets a copy of it; nothing if it is not known."""
    if sender is None:
        return {}
    rules = Rewriting(
        patterns=settings.senders.patterns,
        senders=settings.senders.rewrites,
        smarthosts={
            name: each.rewrite for name, each in settings.smarthosts.items() if each.rewrite
        },
        key=b"",
    )
    return {
        "rewrites": [*rewrites.in_words(rules.tables(sender, destination), sender)],
        "copies": [str(each) for each in settings.senders.copies_of(sender)],
    }


def _mail_hosts(answer: MxAnswer) -> list[Fields] | None:
    """The MX records, best first; empty where the domain itself stands in for them."""
    match answer:
        case MxHosts(hosts=hosts):
            listed = sorted((host.preference, host.name) for host in hosts)
            return [{"preference": preference, "host": name} for preference, name in listed]
        case ImplicitMx():
            return []
        case _:
            return None


def _candidates(found: Found, settings: Settings) -> Fields:
    chosen = found.chosen
    if not isinstance(chosen, Candidates):
        return {}
    port = settings.direct.port
    hosts = [
        {
            "remote_host": one.host,
            "remote_ip": one.ip,
            "remote_port": port,
            "preference": one.preference,
            "local_ip": one.source_ip or _source_of_the_system(one.ip, port),
            "helo": settings.direct.helo_of(one.source_ip) or settings.fqdn,
            "secure": one.is_secure,
            **_demand(found.judged[one.host]),
        }
        for one in chosen.candidates
    ]
    return {
        "site": chosen.site,
        "mx_secure": chosen.is_secure,
        "hosts": hosts,
        "skipped": list(chosen.skipped),
    }


def _demand(judged: Judged) -> Fields:
    """What a host has to show, by which row of table A in docs/tls.md, and what that rests on."""
    asked, tlsa = judged.requirement, judged.tlsa
    if isinstance(tlsa, TlsaFound):
        told = [f"{tlsa.base} {record.short}" for record in tlsa.records]
    else:
        told = [tlsa.why if isinstance(tlsa, NoTlsa) else tlsa.reason]
    if isinstance(asked, HostRefused):
        level, reason = "refused", asked.reason
    else:
        level, reason = asked.level.name.lower(), asked.note
    return {
        "tls_policy": asked.policy.value,
        "tls_row": asked.row,
        "tls_level": level,
        "tls_reason": reason,
        "tlsa": told,
    }


def _source_of_the_system(ip: str, port: int) -> str | None:
    """Return the address that a connection would come from; None: there is no way to `ip`."""
    source = source_towards(ip_address(ip), port)
    return None if source is None else str(source)


def _verdict(way: Way, found: Found | None) -> Fields:
    """What would become of the mail, with the field names of a bounce."""
    if isinstance(way, OnHold):
        return {"verdict": "held"}
    match None if found is None else found.chosen:
        case Undeliverable(needs_second_look=True) as doubt:
            return {
                "verdict": "deferred",
                "category": doubt.category.value,
                "why": f"{doubt.reason}; {ONCE_MORE}",
            }
        case Undeliverable() as proof:
            said = {"enhanced": proof.status, "category": proof.category.value, "why": proof.reason}
            return {"verdict": "bounced", **said}
        case Breakdown() as failure:
            said = {"category": failure.category.value, "why": failure.reason}
            return {"verdict": "deferred", **said}
        case _:
            return {"verdict": "deliverable"}


def _diverted() -> frozenset[str]:
    """Return the domains whose mail goes by the smarthost now; without a queue none does."""
    try:
        with open_view() as view:
            at = now().timestamp()
            return frozenset(each.domain for each in view.sites.fallbacks() if each.until > at)
    except (NotRunning, StoreError):
        return frozenset()

"""Putting delivery together: transport, DNS, judgement, and the scheduler that drives them."""

import asyncio
import random  # noqa: TID251 -- the one random source
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from relayd.bounces.reader import BounceReader
from relayd.deliverer.connections import Connections
from relayd.deliverer.fallbacks import Fallbacks
from relayd.deliverer.leases import Leases
from relayd.deliverer.nexthop.admittance import AGAIN_AFTER
from relayd.deliverer.nexthop.mx_parts import MxParts
from relayd.deliverer.nexthop.rates import Rates
from relayd.deliverer.nexthop.router import Router
from relayd.deliverer.nexthop.scarce_sites import ScarceSites
from relayd.deliverer.nexthop.site_pace import SitePaces
from relayd.deliverer.nexthop.sites import Sites
from relayd.deliverer.nexthop.warm_ups import WarmUps
from relayd.deliverer.nexthop.way import candidates
from relayd.deliverer.pauses import Pauses
from relayd.deliverer.recorder import DeliveryRules, Recorder
from relayd.deliverer.reports import Reporter
from relayd.deliverer.rerouter import Rerouter
from relayd.deliverer.results import ResultStore
from relayd.deliverer.scheduler import Scheduler
from relayd.deliverer.site_news import SiteNews
from relayd.deliverer.sts import StsPolicies
from relayd.deliverer.tally import TlsTally
from relayd.deliverer.tls_reports import TlsReports
from relayd.deliverer.trust import Judged, Policies, Trust
from relayd.mail.attempt import Breakdown
from relayd.mail.content import Content
from relayd.mail.dns import MxAnswer
from relayd.mail.envelope import NewMessage, QueuedMessage, QueuedRecipient
from relayd.net.dns.resolver import DnsResolver
from relayd.net.local import has_address, is_own
from relayd.policy.delivery.mx import Candidates, MxRules, Undeliverable
from relayd.policy.delivery.plan import ReturnPaths
from relayd.policy.delivery.route import RouteFacts, ViaSmarthost, key_of
from relayd.policy.delivery.verdict import VerdictRules
from relayd.policy.replies.ruleset import rules_from
from relayd.policy.rewriting.choice import Rewriting
from relayd.ports.outward import Clock
from relayd.ports.queue import ReportGivenUp
from relayd.settings import Settings
from relayd.worker.descriptors import shares_of
from relayd.worker.dnssec import distrust_liars
from relayd.worker.late import LateBounces
from relayd.worker.names import aliases_here
from relayd.worker.parts import Parts
from relayd.worker.sts import KeptPolicies, sts_policies
from relayd.worker.system import SmtpTransport, SystemClock
from relayd.worker.tlsrpt import tally_of, tls_reports


@dataclass(frozen=True, slots=True)
class Outward:
    transport: SmtpTransport
    results: ResultStore
    scheduler: Scheduler
    resolver: DnsResolver  # that mail goes by
    sites: Sites
    scarce: ScarceSites
    policies: StsPolicies | None  # None: MTA-STS does not count
    tally: TlsTally | None  # of TLS sessions; None: no reports
    reports: TlsReports | None  # on them; None: none are sent
    late: LateBounces | None
    reader: BounceReader  # of what comes back
    reporter: Reporter
    report_given_up: ReportGivenUp | None  # by an operator; None: reports are off


async def deliver(
    settings: Settings,
    parts: Parts,
    tasks: asyncio.TaskGroup,
    news: SiteNews,
    fallbacks: Fallbacks | None = None,
) -> Outward:
    """Put the deliverer together; its connections live in `tasks`. The routes of `settings` know the fall-backs."""
    source = random.Random()  # noqa: S311 -- spreads retries, keeps no secret
    transport = SmtpTransport(helo=settings.fqdn, clock=parts.clock)
    places = shares_of(settings.limits).servers
    scarce = ScarceSites(parts.store.shares, parts.worker, clock=parts.clock)
    rates = Rates(
        settings.direct.messages_per_minute, clock=parts.clock, permits=parts.store.permits
    )
    sites = Sites(
        settings.direct.connections_per_destination,
        tasks,
        clock=parts.clock,
        connections=Connections(places),
        rates=rates,
        on_new=scarce.begin,
    )
    rules = rules_from(settings.rules)
    paces = SitePaces(
        news,
        parts.store.permits,
        clock=parts.clock,
        rules=rules,
        has_other_way=fallbacks is not None,
    )
    resolver = resolver_of(settings, parts.clock)
    tally = tally_of(settings, parts)
    policies = sts_policies(settings, parts, resolver, tally)
    mx = mx_parts(
        settings,
        parts.clock,
        transport,
        resolver,
        sites,
        policies=policies,
        paces=paces,
        tally=tally,
    )
    router = Router(
        settings.smarthosts,
        settings.route_hosts,
        transport=transport,
        clock=parts.clock,
        mx=mx,
        permits=parts.store.permits,
    )
    reporter = Reporter(
        fqdn=settings.fqdn,
        routes=settings.routes,
        next_id=parts.ids.next_id,
        now=parts.clock.now(),
        give_up_after=settings.retry.give_up_after,
        signer=parts.signer,
        aliases=aliases_here(settings),
    )
    reader = BounceReader(settings.rules)
    late = await _late(settings, parts, reader)
    results = ResultStore(parts.store, parts.clock)
    recorder = Recorder(
        results,
        sink=parts.events,
        clock=parts.clock,
        rules=DeliveryRules(
            verdict=VerdictRules(
                retry=settings.retry, classifier=rules, soft_bounce=settings.soft_bounce
            ),
            routes=settings.routes,
            paths=None if late is None else late.paths,
            recipients_at={
                key_of(ViaSmarthost(name)): each.recipients
                for name, each in settings.smarthosts.items()
            },
            jitter=source.random,
            rewriting=await _rewriting(settings, parts),
            signer=parts.signer,
            pausing=parts.pausing,
            fallbacks=fallbacks,
        ),
        reporter=reporter if settings.bounces.dsn else None,
    )
    scheduler = Scheduler(
        Leases(parts.store, parts.worker, parts.clock),
        next_hop=router.next_hop,
        recorder=recorder,
        rerouter=Rerouter(
            results,
            sink=parts.events,
            clock=parts.clock,
            routes=settings.routes,
            news=None if fallbacks is None else news,
        ),
        pauses=Pauses(clock=parts.clock, jitter=source.random),
        slots=places,
        # Who sends nothing directly has no use for what sites say, and need not ask each second.
        news=news if settings.routes.may_be_direct else None,
    )
    scheduler.make_room = partial(sites.shorten_lines, to_seconds=AGAIN_AFTER)
    for shares in (sites, rates, mx.warm_ups, router, reporter, scheduler):
        parts.membership.watch(shares.divide_by)
    given_up = partial(_report_given_up, reporter, parts.clock) if settings.bounces.dsn else None
    return Outward(
        transport,
        results,
        scheduler,
        resolver,
        sites,
        scarce,
        policies,
        tally,
        tls_reports(settings, parts, resolver, scheduler.wake),
        late,
        reader,
        reporter,
        given_up,
    )


def _report_given_up(
    reporter: Reporter,
    clock: Clock,
    message: QueuedMessage,
    recipients: Sequence[QueuedRecipient],
    content: Content,
    reason: str,
) -> NewMessage | None:
    return reporter.report_given_up(message, recipients, content, reason=reason, now=clock.now())


async def _rewriting(settings: Settings, parts: Parts) -> Rewriting | None:
    """Return what is rewritten; None: nothing is."""
    smarthosts = {
        name: each.rewrite for name, each in settings.smarthosts.items() if each.rewrite is not None
    }
    if not smarthosts and not settings.senders.rewrites:
        return None
    return Rewriting(
        patterns=settings.senders.patterns,
        senders=settings.senders.rewrites,
        smarthosts=smarthosts,
        key=await parts.store.secret(),
    )


async def _late(settings: Settings, parts: Parts, reader: BounceReader) -> LateBounces | None:
    """Return who takes asynchronous bounces; None while no domain is set for them."""
    if not settings.bounces.verp_domain:
        return None
    return LateBounces(
        paths=ReturnPaths(domain=settings.bounces.verp_domain, key=await parts.store.secret()),
        view=parts.view,
        asking=parts.asking,
        parse=reader.read,
        routes=settings.routes,
        clock=parts.clock,
        aliases=aliases_here(settings),
        complaints=settings.bounces.complaints,
        refuses_complained=settings.bounces.refuse_complained,
    )


def resolver_of(settings: Settings, clock: Clock) -> DnsResolver:
    return DnsResolver(
        nameservers=settings.dns.nameservers,
        timeout=settings.dns.timeout,
        clock=clock,
        trusted=settings.dns.trusted,
    )


def mx_parts(
    settings: Settings,
    clock: Clock,
    transport: SmtpTransport,
    resolver: DnsResolver,
    sites: Sites,
    *,
    policies: Policies | None = None,
    paces: SitePaces | None = None,
    tally: TlsTally | None = None,
) -> MxParts:
    """Return what MX hops share."""
    listening = frozenset(
        (listener.endpoint.host, listener.endpoint.port)
        for listener in settings.listeners
        if listener.endpoint is not None
    )
    return MxParts(
        settings=settings.direct,
        rules=MxRules(
            own_names=frozenset({settings.fqdn.lower()}),
            own_addresses=frozenset(),
            allow_networks=settings.direct.allow_networks,
        ),
        resolver=resolver,
        trust=Trust(settings.direct, resolver, policies),
        transport=transport,
        sites=sites,
        clock=clock,
        chance=random.Random().random,  # noqa: S311 -- the order of equal hosts
        is_own=partial(is_own, port=settings.direct.port, listening=listening),
        may_send_from=has_address,
        warm_ups=WarmUps(settings.direct.warm_up, clock=clock),
        paces=paces,
        tally=tally,
    )


async def look_up(
    settings: Settings, domain: str, facts: RouteFacts
) -> tuple[MxAnswer, Candidates | Undeliverable | Breakdown, Mapping[str, Judged]]:
    """Return what the DNS says of a domain, what delivery makes of it for mail of `facts`, and what each host has to show.

    Connects to no mail server. Name servers are believed as a worker believes them, once it has looked at them.
    """
    clock = SystemClock()
    resolver = resolver_of(settings, clock)
    await distrust_liars(settings, resolver, clock)
    async with asyncio.TaskGroup() as tasks:
        parts = mx_parts(
            settings,
            clock,
            SmtpTransport(helo=settings.fqdn, clock=clock),
            resolver,
            Sites(1, tasks, clock=clock, connections=Connections(1)),
            policies=KeptPolicies(settings),
        )
        answer = await parts.resolver.mx(domain)
        chosen = await candidates(domain, facts, parts)
        judged: dict[str, Judged] = {}
        if isinstance(chosen, Candidates):
            trust = parts.trust.of(domain)
            await trust.load()
            judged = {one.host: await trust.judge(one, chosen) for one in chosen.candidates}
        return answer, chosen, judged

"""A deliverer in direct mode: name server, mail hosts on addresses of loopback, smarthost.

zones = {"x.test": {"MX": ["10 mx1.x.test."]}, "mx1.x.test": {"A": [A1]}}
async with a_direct_post(zones, {A1: {"RCPT": "550 5.1.1 no such user"}}) as direct:
    message = await direct.send("a@x.test")
    await direct.post.settled()
    assert direct.server(A1).connections == 1

An address without a script refuses connections.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from typing import Any

from relayd.deliverer.connections import Connections
from relayd.deliverer.fallbacks import Fallbacks
from relayd.deliverer.leases import Leases
from relayd.deliverer.nexthop.mx import MxHop
from relayd.deliverer.nexthop.mx_parts import MxParts
from relayd.deliverer.nexthop.rates import Rates
from relayd.deliverer.nexthop.router import Router
from relayd.deliverer.nexthop.site_pace import SitePaces
from relayd.deliverer.nexthop.sites import Sites
from relayd.deliverer.nexthop.warm_ups import WarmUps
from relayd.deliverer.pauses import Pauses
from relayd.deliverer.recorder import DeliveryRules, Recorder
from relayd.deliverer.rerouter import Rerouter
from relayd.deliverer.results import ResultStore
from relayd.deliverer.scheduler import Scheduler
from relayd.deliverer.site_news import SiteNews
from relayd.deliverer.tally import TlsTally
from relayd.deliverer.trust import Policies, Trust
from relayd.mail.address import parse_address
from relayd.mail.envelope import NewMessage
from relayd.net.dns.resolver import DnsResolver
from relayd.net.local import has_address, is_own
from relayd.policy.delivery.mx import MxRules
from relayd.policy.delivery.route import DEFAULT, RouteFacts, RouteRules, asked_by, way_of
from relayd.policy.delivery.source import IpFamily, Source
from relayd.policy.delivery.verdict import VerdictRules
from relayd.settings import DirectSettings, HostPort, SmarthostSettings, TlsMode
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import CONTENT, a_facts, a_message, a_recipient
from tests.support.clock import FakeClock
from tests.support.dns_server import DnsServer, Zones
from tests.support.ports import free_port
from tests.support.post import RETRY, ListSink, Post, rules, the_transport
from tests.support.scripted_server import Action, ScriptedServer
from tests.support.workers import registered

A1, A2, A3 = "127.0.0.11", "127.0.0.12", "127.0.0.13"
DIRECT = RouteRules(use_remote_smtp=True)
Script = Mapping[str, Action | list[str]]
FINE: Script = {}
SETTINGS = DirectSettings(
    port=0,
    tls=TlsMode.OFF,
    dane=True,
    mta_sts=False,
    tls_policy=(),
    families=frozenset(IpFamily),
    sources=(),
    allow_networks=(ip_network("127.0.0.0/8"),),
    connections_per_destination=10,
    messages_per_minute=0,
)


def mx(*addresses: str, domain: str = "x.test") -> dict[str, Any]:
    """Zones of a domain whose mail hosts have these addresses, the best first."""
    hosts = {f"mx{number}.{domain}": ip for number, ip in enumerate(addresses, 1)}
    records = [f"{10 * number} {host}." for number, host in enumerate(hosts, 1)]
    return {domain: {"MX": records}, **{host: {"A": [ip]} for host, ip in hosts.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """What runs, and whom it may meet."""

    post: Post
    dns: DnsServer
    servers: Mapping[str, ScriptedServer]
    smarthost: ScriptedServer
    parts: MxParts
    news: SiteNews
    paces: SitePaces
    routes: RouteRules
    port: int

    def server(self, ip: str) -> ScriptedServer:
        return self.servers[ip]

    def hop(self, domain: str = "x.test") -> MxHop:
        """A next hop of its own, for tests that do without the scheduler."""
        return MxHop(domain, self.parts)

    async def send(
        self,
        *addresses: str,
        is_test: bool = False,
        lifts_tls: bool = False,
        leased: bool = False,
        content: bytes = CONTENT,
        sender: str = "app@app.test",
    ) -> NewMessage:
        """Queue a message as a worker does that has these settings."""
        known = RouteFacts(is_test=is_test, asks=asked_by(requires=False, lifts=lifts_tls))
        recipients = [
            a_recipient(
                one,
                destination=way_of(parse_address(one), known, self.routes).key,
            )
            for one in addresses
        ]
        facts = replace(a_facts(content, is_test=is_test), lifts_tls=lifts_tls)
        message = a_message(*recipients, reverse_path=sender, content=content, facts=facts)
        return await self.post.submit(message, leased=leased)


@asynccontextmanager
async def a_direct_post(
    zones: Zones,
    scripts: Mapping[str, Script],
    *,
    routes: RouteRules = DIRECT,
    listening: frozenset[str] = frozenset(),
    store: MemoryStore | None = None,
    dns_timeout: float = 2,
    source_addresses: Sequence[str] = (),
    name: str = "1",
    places: int = 1000,
    shown: Mapping[str, ssl.SSLContext] | None = None,
    policies: Policies | None = None,
    is_trusted: bool = True,
    **settings: Any,
) -> AsyncIterator[Direct]:
    """Run all of it; the deliverer stops first.

    `listening` are the addresses where the relay itself takes mail, `settings` are of `[direct]`. `shown` is TLS of
    servers; the name server is believed with DNSSEC if `is_trusted`.
    """
    store = store or MemoryStore(FakeClock())
    if source_addresses:
        settings["sources"] = tuple(Source(address=each) for each in source_addresses)
    direct = replace(SETTINGS, **{"port": free_port(), **settings})
    async with AsyncExitStack() as stack:
        servers = {
            ip: await stack.enter_async_context(
                ScriptedServer(script, host=ip, port=direct.port, tls=(shown or {}).get(ip))
            )
            for ip, script in scripts.items()
        }
        smarthost = await stack.enter_async_context(ScriptedServer())
        dns = await stack.enter_async_context(DnsServer(zones))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        sites = Sites(
            direct.connections_per_destination,
            tasks,
            clock=_clock(store),
            connections=Connections(places),
            rates=Rates(direct.messages_per_minute, clock=_clock(store)),
        )
        resolver = _resolver(dns, dns_timeout, _clock(store), is_trusted=is_trusted)
        parts = replace(
            _mx_parts(direct, resolver, sites, listening, _clock(store)),
            trust=Trust(direct, resolver, policies),
            tally=TlsTally(store.trust),
        )
        news = SiteNews(store.sites, clock=_clock(store))
        fallbacks = Fallbacks(news, clock=_clock(store)) if routes.falls_back else None
        paces = SitePaces(
            news,
            store.permits,
            clock=_clock(store),
            rules=rules(),
            has_other_way=routes.falls_back,
        )
        parts = replace(parts, paces=paces)
        if fallbacks is not None:
            routes = replace(routes, diverted=fallbacks)
        router = _router(parts, smarthost, store)
        post = await _post(store, name, routes, router, news, tasks, places, fallbacks)
        try:
            yield Direct(
                post=post,
                dns=dns,
                servers=servers,
                smarthost=smarthost,
                parts=parts,
                news=news,
                paces=paces,
                routes=routes,
                port=direct.port,
            )
        finally:
            await post.stop()
            sites.close()


def _clock(store: MemoryStore) -> FakeClock:
    assert isinstance(store._clock, FakeClock)
    return store._clock


def _resolver(dns: DnsServer, timeout: float, clock: FakeClock, *, is_trusted: bool) -> DnsResolver:
    """0.0.0.0 leads to loopback, and is no loopback address."""
    endpoint = dns.endpoint if is_trusted else replace(dns.endpoint, host="0.0.0.0")
    return DnsResolver(nameservers=(endpoint,), timeout=timedelta(seconds=timeout), clock=clock)


def _mx_parts(
    direct: DirectSettings,
    resolver: DnsResolver,
    sites: Sites,
    listening: frozenset[str],
    clock: FakeClock,
) -> MxParts:
    return MxParts(
        settings=direct,
        rules=MxRules(
            own_names=frozenset({"relay.test"}),
            own_addresses=frozenset(),
            allow_networks=direct.allow_networks,
        ),
        resolver=resolver,
        trust=Trust(direct, resolver),
        transport=the_transport(clock),
        sites=sites,
        clock=clock,
        chance=lambda: 0.0,
        is_own=partial(is_own, port=direct.port, listening={(ip, direct.port) for ip in listening}),
        may_send_from=has_address,
        warm_ups=WarmUps(direct.warm_up, clock=clock),
    )


def _router(parts: MxParts, smarthost: ScriptedServer, store: MemoryStore) -> Router:
    settings = SmarthostSettings(
        hosts=(HostPort(host=smarthost.host, port=smarthost.port),),
        tls=TlsMode.OFF,
        login=None,
        connections=4,
    )
    return Router(
        {DEFAULT: settings},
        transport=parts.transport,
        clock=parts.clock,
        mx=parts,
        permits=store.permits,
    )


async def _post(
    store: MemoryStore,
    name: str,
    routes: RouteRules,
    router: Router,
    news: SiteNews,
    tasks: asyncio.TaskGroup,
    places: int,
    fallbacks: Fallbacks | None,
) -> Post:
    clock, sink = _clock(store), ListSink()
    worker = await registered(store, name)
    results = ResultStore(store, _clock(store), retry_after=0.05)
    recorder = Recorder(
        results,
        sink=sink,
        clock=clock,
        rules=DeliveryRules(
            verdict=VerdictRules(retry=RETRY, classifier=rules()),
            routes=routes,
            paths=None,
            jitter=lambda: 0.0,
            fallbacks=fallbacks,
        ),
    )
    scheduler = Scheduler(
        Leases(store, worker, clock),
        next_hop=router.next_hop,
        recorder=recorder,
        rerouter=Rerouter(results, sink=sink, clock=clock, routes=routes, news=news),
        pauses=Pauses(clock=clock, jitter=lambda: 0.0),
        slots=places,
        news=news,
    )
    running = tasks.create_task(scheduler.run(tasks))
    await asyncio.sleep(0)  # it runs: work may be put into it
    return Post(
        store=store,
        view=store.view,
        clock=clock,
        sink=sink,
        scheduler=scheduler,
        worker=worker,
        running=running,
    )

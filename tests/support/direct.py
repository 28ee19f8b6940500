"""A deliverer in direct mode: name server, mail hosts on addresses of loopback, smarthost.

zones = {"x.test": {"MX": ["10 mx1.x.test."]}, "mx1.x.test": {"A": [A1]}}
async with a_direct_post(zones, {A1: {"RCPT": "550 5.1.1 no such user"}}) as direct:
    message = await direct.send("a@x.test")
    await direct.post.settled()
    assert direct.server(A1).connections == 1

An address without a script refuses connections.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from typing import Any

from relayd.deliverer.courier import Courier
from relayd.deliverer.directions import Directions
from relayd.deliverer.mxhop import MxHop, MxParts, Sites
from relayd.deliverer.scheduler import Scheduler
from relayd.mail.envelope import NewMessage
from relayd.net.local import is_own
from relayd.net.resolver import DnsResolver
from relayd.policy.mx import MxRules
from relayd.policy.route import RouteRules, key_for
from relayd.policy.verdict import VerdictRules
from relayd.settings import DirectSettings, DnsSettings, HostPort, SmarthostSettings, TlsMode
from relayd.store.memory import MemoryStore
from tests.support.builders import CONTENT, a_facts, a_message, a_recipient
from tests.support.clock import FakeClock
from tests.support.dns_server import DnsServer, Zones
from tests.support.post import RETRY, ListSink, Post, rules, the_transport
from tests.support.scripted_server import Action, ScriptedServer

A1, A2, A3 = "127.0.0.11", "127.0.0.12", "127.0.0.13"
DIRECT = RouteRules(use_remote_smtp=True)
LOOPBACK = ("127.0.0.0/8",)
Script = Mapping[str, Action | list[str]]
FINE: Script = {}


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
    routes: RouteRules
    port: int

    def server(self, ip: str) -> ScriptedServer:
        return self.servers[ip]

    def hop(self, domain: str = "x.test") -> MxHop:
        """A next hop of its own, for tests that do without the scheduler."""
        return MxHop(domain, self.parts)

    async def send(
        self, *addresses: str, is_test: bool = False, leased: bool = False, content: bytes = CONTENT
    ) -> NewMessage:
        """Queue a message as a worker does that has these settings."""
        recipients = [
            a_recipient(one, destination=key_for(one, is_test=is_test, rules=self.routes))
            for one in addresses
        ]
        message = a_message(*recipients, content=content, facts=a_facts(content, is_test=is_test))
        return await self.post.submit(message, leased=leased)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def a_direct_post(
    zones: Zones,
    scripts: Mapping[str, Script],
    *,
    routes: RouteRules = DIRECT,
    connections: int = 10,
    allow: tuple[str, ...] = LOOPBACK,
    tls: TlsMode = TlsMode.OFF,
    source_addresses: tuple[str, ...] = (),
    listening: frozenset[tuple[str, int]] = frozenset(),
    store: MemoryStore | None = None,
    dns_timeout: float = 2,
    name: str = "1",
) -> AsyncIterator[Direct]:
    """Run all of it; the deliverer stops first."""
    async with AsyncExitStack() as stack:
        port = _free_port()
        servers = {ip: ScriptedServer(script, host=ip, port=port) for ip, script in scripts.items()}
        for server in servers.values():
            await stack.enter_async_context(server)
        smarthost = await stack.enter_async_context(ScriptedServer())
        dns = await stack.enter_async_context(DnsServer(zones))
        store = store or MemoryStore(FakeClock())
        clock = store._clock
        assert isinstance(clock, FakeClock)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        sites = Sites(connections, tasks)
        transport = the_transport(clock)
        dns_settings = DnsSettings(
            nameservers=(dns.endpoint,), timeout=timedelta(seconds=dns_timeout)
        )
        parts = MxParts(
            settings=DirectSettings(
                port=port,
                tls=tls,
                source_addresses=source_addresses,
                allow_networks=tuple(ip_network(one) for one in allow),
                connections_per_destination=connections,
            ),
            rules=MxRules(
                own_names=frozenset({"relay.test"}),
                own_addresses=frozenset(),
                allow_networks=tuple(ip_network(one) for one in allow),
            ),
            resolver=DnsResolver(
                nameservers=dns_settings.nameservers, timeout=dns_settings.timeout, clock=clock
            ),
            transport=transport,
            sites=sites,
            clock=clock,
            chance=lambda: 0.0,
            is_own=partial(is_own, port=port, listening={(ip, at or port) for ip, at in listening}),
        )
        directions = Directions(
            SmarthostSettings(
                hosts=(HostPort(host="127.0.0.1", port=smarthost.port),),
                tls=TlsMode.OFF,
                login=None,
                connections=4,
            ),
            transport=transport,
            clock=clock,
            mx=parts,
            workers=1,
        )
        sink = ListSink()
        worker = await store.register(name)
        scheduler = Scheduler(
            store=store,
            worker=worker,
            next_hop=directions.next_hop,
            courier=Courier(
                store=store,
                sink=sink,
                clock=clock,
                rules=VerdictRules(retry=RETRY, classifier=rules()),
                routes=routes,
                jitter=lambda: 0.0,
            ),
            clock=clock,
            connections=directions.connections,
            jitter=lambda: 0.0,
        )
        post = Post(
            store=store,
            view=store.view,
            clock=clock,
            sink=sink,
            scheduler=scheduler,
            worker=worker,
            running=tasks.create_task(scheduler.run(tasks)),
        )
        await asyncio.sleep(0)  # it runs: work may be put into it
        try:
            yield Direct(
                post=post,
                dns=dns,
                servers=servers,
                smarthost=smarthost,
                parts=parts,
                routes=routes,
                port=port,
            )
        finally:
            await post.stop()
            sites.close()

"""Three machines with two workers each on one PostgreSQL: a limit holds over all of them, and all of it is used.

It holds while they join, while one of them is killed, and afterwards; the next hop counts its open connections.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.background import Background
from tests.support.daemon import Daemon, eventually
from tests.support.dns_server import DnsServer
from tests.support.gated_server import GatedServer
from tests.support.ports import free_port

pytestmark = [postgres.needs_postgres, pytest.mark.timeout(420)]

WORKERS = 2
WIDE, NARROW = 7, 2  # connections: more than there are workers, and fewer
DOMAINS = 24  # with the same mail host
PIECES = 12  # messages for each machine and next hop, while nothing is let through
_JOINED, _DIED = 120.0, 180.0  # seconds, on a machine that is busy with other tests
_OPENED = 10.0  # seconds until all connections are open, if they may be
_SITE = "127.0.0.31"


LIMITS = {"wide": WIDE, "narrow": NARROW, "site": NARROW}


@dataclass(slots=True)
class Cluster:
    machines: list[Daemon]
    server: postgres.Server
    hops: dict[str, GatedServer]
    background: Background
    sent: int = 0  # to each next hop

    def send(self) -> None:
        """Give each machine one message for each next hop."""
        for machine in self.machines:
            machine.send(f"u{self.sent}@wide.test")
            machine.send(f"u{self.sent}@narrow.test")
            machine.send(f"u{self.sent}@d{self.sent % DOMAINS}.test")
            self.sent += 1

    def all_deliver(self) -> bool:
        """Send some more, and tell whether each worker has a lease for the first smarthost."""
        self.send()
        owners = "SELECT count(DISTINCT worker) FROM slot WHERE destination = 'smarthost'"
        return int(self.server.run(owners)) == WORKERS * len(self.machines)

    def is_used_up(self) -> bool:
        """Let nothing through, send more than enough, and tell whether there are as many connections as may be."""
        for hop in self.hops.values():
            self.background.run(hop.shut())
        for _ in range(PIECES):
            self.send()
        try:
            eventually(lambda: self.open() == LIMITS, "so many", within=_OPENED)
        except AssertionError:
            self.let_through()  # who begins, or has more from now on, opens one more with each answer
            return False
        return True

    def let_through(self) -> None:
        for hop in self.hops.values():
            self.background.run(hop.let_through())

    def has_all(self) -> bool:
        return all(hop.taken >= self.sent for hop in self.hops.values())

    def open(self) -> dict[str, int]:
        return {name: hop.open for name, hop in self.hops.items()}

    def most(self) -> dict[str, int]:
        return {name: hop.most for name, hop in self.hops.items()}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    port = free_port()
    with ExitStack() as stack:
        server = postgres.Server("max_connections=150")
        stack.callback(server.close)
        background = stack.enter_context(Background())
        hops = {
            "wide": background.enter(GatedServer()),
            "narrow": background.enter(GatedServer()),
            "site": background.enter(GatedServer(_SITE, port)),
        }
        zones = {f"d{number}.test": {"MX": ["5 mx.prov.test."]} for number in range(DOMAINS)}
        dns = background.enter(DnsServer({**zones, "mx.prov.test": {"A": [_SITE]}}))
        more = f"""
[routes]
"wide.test" = "smarthost"
"narrow.test" = "smarthost:narrow"
[smarthosts.narrow]
hosts = ["127.0.0.1:{hops["narrow"].port}"]
tls = "off"
connections = {NARROW}
[dns]
nameservers = ["{dns.endpoint}"]
[direct]
port = {port}
tls = "off"
allow_networks = ["127.0.0.0/8"]
connections_per_destination = {NARROW}
fallback = "off"
"""
        machines = []
        for name in ("one", "two", "three"):
            folder = tmp_path / name
            (folder / "state").mkdir(parents=True)
            machine = Daemon(
                folder,
                hops["wide"].port,
                workers=WORKERS,
                remote="true",
                connections=WIDE,
                store=server.url(),
                store_more=f'folder = "{folder}/state"',
                more=f'{more}[cluster]\nnode = "{name}"\n',
            )
            stack.callback(machine.close)
            machines.append(machine)
        yield Cluster(machines, server, hops, background)


LIMITS = {"wide": WIDE, "narrow": NARROW, "site": NARROW}


def test_limits_hold_over_all_machines_and_all_of_each_is_used(cluster: Cluster) -> None:
    for machine in cluster.machines:
        machine.up()
    eventually(cluster.all_deliver, "all workers deliver mail", within=_JOINED)
    eventually(cluster.is_used_up, "all of each limit is used", within=_JOINED)

    cluster.machines[-1].kill()
    cluster.let_through()
    del cluster.machines[-1]
    eventually(cluster.is_used_up, "the others use what the dead one had", within=_DIED)
    cluster.let_through()
    eventually(cluster.has_all, "all mail arrives", within=_DIED)
    assert cluster.most() == LIMITS, "at no time was there one more"

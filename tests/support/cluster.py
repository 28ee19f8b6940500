"""Some relays, each a machine of its own, with one PostgreSQL and one next hop, and clients that keep a ledger.

with a_cluster(folder, places, chance) as cluster:
    kill(cluster, cluster.nodes[0])
    cluster.drain()
"""

import json
import os
import random  # noqa: TID251 -- seeded
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relayd.ports.view import RecipientRow
from tests.support.background import Background
from tests.support.counting_hop import CountingHop
from tests.support.daemon import ROOT, Daemon, Ran, eventually
from tests.support.ledger import Entry, Load
from tests.support.places import Place, Places
from tests.support.pointers import without_pointers
from tests.support.tcp_postgres import TcpServer

CONNECTIONS = 8  # to the next hop, all nodes together
_CLIENTS = 3  # of each node
_BURST = 25  # messages at once, at most: some wait for others
_RUNS_ALONE = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to a node, and when; instants are monotonic."""

    node: str  # as it calls itself in EHLO
    began: float
    ended: float


@dataclass(slots=True)
class Node:
    """One relay, and how its program is run."""

    name: str
    place: Place
    daemon: Daemon
    careless: bool = False  # it looks after no lease: a control
    clock: Sequence[str] = ()  # a command that shows it another time

    @property
    def fqdn(self) -> str:
        return f"{self.name}.test"

    def up(self) -> None:
        if not (self.place.prefix or self.clock or self.careless):
            self.daemon.up()
            return
        prefix = (*self.place.prefix, *_RUNS_ALONE, *self.clock)
        self.daemon.up(*prefix, program=("tests.support.careless",) if self.careless else ())

    def run(self, *arguments: str) -> Ran:
        """Run a command of relayd on this machine."""
        if not self.place.prefix:
            return self.daemon.run(*arguments)
        program = (sys.executable, "-m", "relayd", "-c", str(self.daemon.file))
        done = subprocess.run(
            [*self.place.prefix, *program, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(status=done.returncode, out=done.stdout, err=without_pointers(done.stderr)[0])

    def log(self) -> list[dict[str, Any]]:
        """Return its operational log. Raises AssertionError for a line that is none."""
        lines = self.daemon.log.read_text().splitlines()
        odd = [line for line in lines if not line.startswith("{")]
        assert not odd, f"in the log of {self.name}: {odd[:5]}"
        return [json.loads(line) for line in lines]


@dataclass(slots=True)
class Cluster:
    """See the module."""

    places: Places
    postgres: TcpServer
    hop: CountingHop
    nodes: list[Node]
    chance: random.Random
    loads: list[Load] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def up(self) -> None:
        """Start all nodes, and wait until each has its part of the limits."""
        for node in self.nodes:
            node.up()
        have = "SELECT count(*) FROM worker WHERE counted_since IS NOT NULL"
        eventually(lambda: int(self.postgres.run(have)) == len(self.nodes), have, within=120)

    def begin(self, seed: int, rate: float) -> None:
        """Have clients of each node send `rate` messages a second, in bursts."""
        for node in self.nodes:
            load = Load(
                node.daemon.port,
                host=node.place.address,
                clients=_CLIENTS,
                messages=10**6,
                seed=seed,
                mail=_Mail(node.name, rate / _CLIENTS),
            )
            self.loads.append(load)

    def end(self) -> None:
        """Have the clients stop."""
        for load in self.loads:
            load.stop()

    def acked(self) -> int:
        return sum(load.acked() for load in self.loads)

    def waiting(self) -> int:
        """Return how many recipients have not met their fate."""
        return int(self.postgres.run("SELECT count(*) FROM queue"))

    def drain(self, within: float) -> float:
        """Wait until all that is accepted has met its fate; return how long that took."""
        began = time.monotonic()
        while left := self.waiting():
            waited = time.monotonic() - began
            assert waited < within, f"{left} recipients have not met their fate"
            time.sleep(0.2)
        return time.monotonic() - began

    def rows(self) -> list[RecipientRow]:
        return self.nodes[0].daemon.rows()


@contextmanager
def a_cluster(
    folder: Path,
    places: Places,
    chance: random.Random,
    *,
    nodes: int = 2,
    slowest: float = 0.1,
) -> Iterator[Cluster]:
    """Have as many nodes ready to be started; whatever happens, all of it ends with the block.

    The next hop takes up to `slowest` seconds for the reply to a final dot.
    """
    postgres = TcpServer(folder, places.new())
    with Background() as background:
        hop = background.enter(CountingHop(places.here.address, chance, slowest=slowest))
        names = ("one", "two", "three")[:nodes]
        made = [_a_node(folder, name, places.new(), postgres, hop) for name in names]
        cluster = Cluster(places, postgres, hop, made, chance)
        try:
            yield cluster
        finally:
            cluster.end()
            for node in made:
                node.daemon.close()
            postgres.close()


def _a_node(folder: Path, name: str, place: Place, postgres: TcpServer, hop: CountingHop) -> Node:
    own = folder / name
    (own / "state").mkdir(parents=True)
    daemon = Daemon(
        own,
        hop.port,
        ask=postgres.local_url,
        workers=1,
        fqdn=f"{name}.test",
        host=place.address,
        listen_more='networks = ["10.77.0.0/24"]' if place.prefix else "",
        smarthost_host=hop.host,
        connections=CONNECTIONS,
        store=postgres.url,
        store_more=f'folder = "{own}/state"\npassword_file = "{postgres.password_file}"',
        more=f'[cluster]\nnode = "{name}"',
    )
    return Node(name, place, daemon)


class _Mail:
    """What a client of a node sends: bursts of small messages, each to an address of its own."""

    def __init__(self, node: str, rate: float) -> None:
        self._node, self._rate = node, rate

    def __call__(self, client: int, count: int, chance: random.Random) -> Iterator[Entry]:
        left = 0
        for number in range(count):
            if not left:
                left = chance.randint(1, _BURST)
                time.sleep(left / self._rate)
            left -= 1
            name = f"{self._node}-{client}-{number}"
            body = (chance.randbytes(30).hex().encode() + b"\r\n") * chance.choice((3, 10, 100))
            yield Entry(
                name, (f"{name}@x.test",), b"X-Number: %b\r\n\r\n%b" % (name.encode(), body)
            )


def faked(by: str) -> Sequence[str]:
    """Return the command that shows a program a wall clock which is wrong by so much, as `+1h`."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        raise SystemExit("another clock takes faketime")
    return (
        "env",
        f"LD_PRELOAD={libraries[0]}",
        f"FAKETIME={by}",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        f"PATH={os.environ['PATH']}",
    )

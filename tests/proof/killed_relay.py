"""A relay with its clients, whose processes are killed, and that is as before after that."""

import os
import random  # noqa: TID251 -- seeded
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from relayd.ports.view import Query
from relayd.store import open_view
from relayd.supervisor.lock import is_served
from tests.proof.killed_migration import kill_in_migration
from tests.proof.points import TAKEN, Ambush, Point, Victim, While
from tests.proof.reckoning import Reckoning, reckon
from tests.proof.recording import NextHop, Way, a_next_hop, an_entry
from tests.proof.shim import Shared, environment
from tests.support.daemon import Daemon, eventually
from tests.support.ledger import Entry, Fate, Load
from tests.support.scripted_server import AnyOf, Drip, Script

CLIENTS = 4
CONNECTIONS = 8  # of all workers together, outward: so many transactions a kill may find open
AT_RANDOM = Point("at random", ())
_PAUSE = 0.03  # seconds between messages of a client
_KINDS = (*["fine"] * 80, *["soft"] * 12, *["hard"] * 2)  # few bounce: reports have a budget
_REACHED_WITHIN = 4.0  # seconds
_WEBHOOKS = '[webhooks]\nallow_http = true\nallow_networks = ["127.0.0.1/32"]\n'  # none is sent: no console runs


_VICTIMS = (*[Victim.WHO_GETS_THERE] * 3, Victim.ALL, Victim.SUPERVISOR)


class KilledRelay:
    """One relay, its clients, and who lies in wait."""

    def __init__(
        self, relay: Daemon, hop: NextHop, shared: Shared, chance: random.Random, way: Way
    ) -> None:
        self._relay = relay
        self._hop = hop
        self._ambush = Ambush(shared)
        self._chance = chance
        self._way = way
        self._kills = 0
        self._load = Load(
            relay.port, clients=CLIENTS, messages=10**6, seed=chance.randrange(10**6), mail=_mail
        )

    def kill(self, point: Point) -> Victim | None:
        """Have a kill at that point, and all as before; return who was killed, or None if nobody got there."""
        if point is AT_RANDOM:
            victim = self._kill_at_random()
        elif point.on is While.MIGRATION:
            victim = kill_in_migration(self._relay.folder.parent, point, self._chance)
        else:
            victim = self._kill_at(point)
        self._kills += victim is not None
        return victim

    def end(self) -> Reckoning:
        """Let the queue run empty, and count."""
        self._ambush.lift()
        self._load.stop()
        eventually(
            lambda: not self._relay.rows(Query(unfinished=True)), "the queue is empty", within=60
        )
        assert self._relay.stop() == 0
        return reckon(
            self._relay,
            self._load.ledger,
            self._hop.messages,
            duplicates=self._kills * CONNECTIONS,
        )

    def close(self) -> None:
        self._load.stop()

    def _kill_at_random(self) -> Victim | None:
        time.sleep(self._chance.random() / 4)
        victim = self._chance.choice(_VICTIMS)
        match victim:
            case Victim.ALL:
                self._relay.signal_all(signal.SIGKILL)
            case Victim.SUPERVISOR:
                self._relay.signal(signal.SIGKILL)
            case _:
                os.kill(self._chance.choice(self._workers()), signal.SIGKILL)
        self._recover()
        return victim

    def _kill_at(self, point: Point) -> Victim | None:
        victim = self._chance.choice(_VICTIMS)
        if point.on in {While.START, While.STOP} and victim is Victim.SUPERVISOR:
            victim = Victim.ALL
        if point.on is While.START:
            assert self._relay.stop() == 0
        self._ambush.lay(
            point, nth=self._chance.randint(1, point.most), target=self._target(point, victim)
        )
        with self._happening(point.on):
            self._await_kill()
        self._recover()
        return victim if self._ambush.killed_by else None

    def _target(self, point: Point, victim: Victim) -> int:
        process = self._relay.process
        if victim is Victim.WHO_GETS_THERE or point.on is While.START or process is None:
            return 0
        return -process.pid if victim is Victim.ALL else process.pid

    def _await_kill(self) -> None:
        end = time.monotonic() + _REACHED_WITHIN
        while not self._ambush.killed_by and time.monotonic() < end:
            time.sleep(0.005)
        self._ambush.lift()

    @contextmanager
    def _happening(self, what: While) -> Iterator[None]:
        """Have it go on for the length of the block."""
        match what:
            case While.RELOAD:
                self._relay.write(message_size=f"{self._chance.randint(2, 9)}MB")
                self._relay.signal(signal.SIGHUP)
                yield
            case While.STOP:
                self._relay.signal(signal.SIGTERM)
                yield
            case While.START:
                self._way.start(self._relay)
                yield
            case While.BACKUP:
                before = self._load.ledger.of(Fate.ACKED)
                copy = self._relay.folder / f"copy{self._kills}"
                process = self._way.back_up(self._relay, copy)
                yield
                process.wait(30)
                _judge_copy(copy, before)
                shutil.rmtree(copy, ignore_errors=True)
            case _:
                yield

    def _recover(self) -> None:
        """Start it again if its supervisor is gone, else wait until it has replaced who is."""
        relay, killed = self._relay, self._ambush.killed_by
        process = relay.process
        assert process is not None
        if killed == process.pid or self._is_gone():
            relay.end()
            eventually(
                lambda: not is_served(f"sqlite:{relay.queue}"), "its workers have left", within=30
            )
            os.truncate(relay.log, 0)  # it is read whole, each time
            self._way.up(relay)
            return
        eventually(lambda: self._is_gone() or len(self._workers()) >= 2, "two workers", within=30)
        if self._is_gone():
            self._recover()

    def _is_gone(self) -> bool:
        """Tell whether the supervisor is; a signal that was just sent has its moment."""
        process = self._relay.process
        assert process is not None
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _workers(self) -> Sequence[int]:
        """Return those that are ready and have not ended, as far as the log tells."""
        ended = {each["pid"] for each in self._relay.events("worker_ended")}
        ready = [each["pid"] for each in self._relay.events("worker_ready")]
        return [pid for pid in ready if pid not in ended and Path(f"/proc/{pid}").exists()]


@contextmanager
def a_relay(
    folder: Path, chance: random.Random, *, is_direct: bool, fault: str
) -> Iterator[KilledRelay]:
    (home := folder / "relay").mkdir()
    way = Way(environment(home, folder / "lock"), fault)
    with ExitStack() as stack:
        hop = stack.enter_context(a_next_hop(is_direct=is_direct, script=_script(chance)))
        relay = Daemon(home, hop.port, connections=CONNECTIONS, more=_WEBHOOKS, **hop.settings)
        stack.callback(relay.close)
        way.up(relay)
        added = relay.run(
            *(
                "console",
                "webhook",
                "add",
                "http://127.0.0.1:8443/",
                "--events",
                "sent,relayed,bounced",
            )
        )
        assert added.status == 0, added.err
        shared = Shared(folder / "lock")
        stack.callback(shared.close)
        world = KilledRelay(relay, hop, shared, chance, way)
        stack.callback(world.close)
        yield world


def _script(chance: random.Random) -> Script:
    """What the next hop does; it takes its time for a dot, so that a kill finds transactions open."""
    return {
        "RCPT TO:<HARD": "550 5.1.1 no such user",
        "RCPT TO:<SOFT": AnyOf(chance, "452 4.2.2 mailbox full", *["250 2.1.5 ok"] * 3),
        "DOT": AnyOf(chance, TAKEN, Drip(TAKEN, 0.001)),
    }


def _mail(client: int, count: int, chance: random.Random) -> Iterator[Entry]:
    for number in range(count):
        yield an_entry(f"{client}-{number}", chance, _KINDS)
        time.sleep(_PAUSE)


def _judge_copy(copy: Path, before: Sequence[Entry]) -> None:
    """A copy that has its name is whole: it has all that was acknowledged before it began."""
    if not (copy / "queue.db").exists():
        return
    with closing(open_view(f"sqlite:{copy / 'queue.db'}")) as view:
        there = {row.address for row in view.find(Query(), limit=10**6)}
    missing = {rcpt for entry in before for rcpt in entry.recipients} - there
    assert not missing, f"a copy lacks {sorted(missing)[:3]}"

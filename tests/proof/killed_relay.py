"""A relay with its clients, whose processes are killed, and that is as before after that."""

import os
import random  # noqa: TID251 -- seeded
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from relayd.ports.view import Query
from relayd.store import open_view
from tests.proof.killed_migration import kill_in_migration
from tests.proof.loaded_relay import CONNECTIONS, LoadedRelay, a_loaded_relay
from tests.proof.modes import Mode
from tests.proof.points import Ambush, Point, Victim, While
from tests.proof.reckoning import Reckoning
from tests.support.daemon import eventually
from tests.support.ledger import Entry, Fate

AT_RANDOM = Point("at random", ())
_REACHED_WITHIN = 4.0  # seconds
_VICTIMS = (*[Victim.WHO_GETS_THERE] * 3, Victim.ALL, Victim.SUPERVISOR)


class KilledRelay:
    """One relay, its clients, and who lies in wait."""

    def __init__(self, loaded: LoadedRelay, chance: random.Random) -> None:
        self._loaded = loaded
        self._relay = loaded.relay
        self._ambush = Ambush(loaded.shared)
        self._chance = chance
        self._kills = 0

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
        return self._loaded.end(duplicates=self._kills * CONNECTIONS)

    def _kill_at_random(self) -> Victim | None:
        time.sleep(self._chance.random() / 4)
        victim: Victim | None = self._chance.choice(_VICTIMS)
        try:
            self._kill(victim)
        except (ProcessLookupError, IndexError):  # of a worker that a reload has just replaced
            victim = None
        self._recover()
        return victim

    def _kill(self, victim: Victim | None) -> None:
        match victim:
            case Victim.ALL:
                self._relay.signal_all(signal.SIGKILL)
            case Victim.SUPERVISOR:
                self._relay.signal(signal.SIGKILL)
            case _:
                os.kill(self._chance.choice(self._loaded.workers()), signal.SIGKILL)

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
                self._loaded.way.start(self._relay)
                yield
            case While.BACKUP:
                before = self._loaded.load.ledger.of(Fate.ACKED)
                copy = self._relay.folder / f"copy{self._kills}"
                process = self._loaded.way.back_up(self._relay, copy)
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
        if killed == process.pid or self._loaded.is_gone():
            relay.end()
            self._loaded.queue.await_end()
            relay.log.rename(
                relay.log.with_suffix(f".{self._kills}")
            )  # it is read whole, each time
            self._loaded.way.up(relay)
            return
        eventually(
            lambda: self._loaded.is_gone() or len(self._loaded.workers()) >= 2,
            "two workers",
            within=30,
        )
        if self._loaded.is_gone():
            self._recover()


@contextmanager
def a_relay(
    folder: Path, chance: random.Random, *, mode: Mode, fault: str
) -> Iterator[KilledRelay]:
    with a_loaded_relay(folder, chance, mode=mode, fault=fault) as loaded:
        yield KilledRelay(loaded, chance)


def _judge_copy(copy: Path, before: Sequence[Entry]) -> None:
    """A copy that has its name is whole: it has all that was acknowledged before it began."""
    if not (copy / "queue.db").exists():
        return
    with closing(open_view(f"sqlite:{copy / 'queue.db'}")) as view:
        there = {row.address for row in view.find(Query(), limit=10**6)}
    missing = {rcpt for entry in before for rcpt in entry.recipients} - there
    assert not missing, f"a copy lacks {sorted(missing)[:3]}"

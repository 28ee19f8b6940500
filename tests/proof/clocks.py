"""Clocks that are set, machines that sleep, and workers that are stopped beyond their leases, while mail comes and goes.

The library sets the clocks of all processes of a relay, and of nobody else. A process that is stopped while the others'
clocks go on has slept, as far as it can tell.
"""

import os
import random  # noqa: TID251 -- seeded
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import apsw

from relayd.ports.view import Query
from tests.proof.loaded_relay import LoadedRelay, Pace, a_loaded_relay
from tests.support.daemon import eventually

_HOUR = 3600 * 10**9  # nanoseconds, as all that follow
_LEASE = 61 * 10**9
_CONNECTIONS = 4
_BACKLOG = Pace(pause=0.05, drip=0.004, connections=_CONNECTIONS)  # mail waits in memory too
_IN_HAND = 3 * _CONNECTIONS  # recipients
_TAKEN_OVER_WITHIN = 150.0  # seconds: it looks for leases that are over every 20, and then sends
_UNFINISHED = Query(unfinished=True)
_LEASED = (
    "SELECT r.address FROM recipient r JOIN slot s ON s.id = r.slot JOIN worker w ON w.number = s.worker"
    " WHERE r.state = 'queued' AND w.name = ?"
)
_LOCKED_FOR = 3000  # milliseconds; the others' transactions take a few
_BATCH = 4
_GOES_ON = 20  # messages


class Change(Enum):
    FORWARDS = "the clock is set forwards by hours"
    BACKWARDS = "the clock is set backwards by hours"
    ASLEEP = "the machine sleeps for hours"
    STOPPED = "a worker is stopped beyond its lease"


@dataclass(slots=True)
class Found:
    """What came of it."""

    changes: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    acked: int = 0
    twice: int = 0
    wrong: list[str] = field(default_factory=list)


def change_often(
    place: Path,
    *,
    times: int,
    seconds: float = 3600,
    seed: int = 1,
    fault: str = "",
    changes: Sequence[Change] = tuple(Change),
    until_wrong: bool = False,
) -> Found:
    """Change something so often, for so long at the most; `fault` is one of PLANTED."""
    chance, found, began = random.Random(seed), Found(), time.monotonic()
    while found.changes.total() < times and time.monotonic() < began + seconds:
        (folder := place / "world").mkdir()
        duplicates, change = 0, Change.FORWARDS
        with a_loaded_relay(folder, chance, fault=fault, pace=_BACKLOG) as loaded:
            try:
                for _ in range(min(_BATCH, times - found.changes.total())):
                    change = changes[found.changes.total() % len(changes)]
                    duplicates += _make(change, loaded, chance)
                    found.changes[change.value] += 1
                counted = loaded.end(duplicates=duplicates)
            except AssertionError as error:
                found.wrong.append(f"{change.value}: {error}")
            else:
                found.messages += counted.messages
                found.acked += counted.acked
                found.twice += counted.twice
                found.wrong += counted.wrong
        if found.wrong and until_wrong:
            break
        shutil.rmtree(folder)
    return found


def _make(change: Change, loaded: LoadedRelay, chance: random.Random) -> int:
    """Make it, and wait until mail goes on; return how many duplicates it explains."""
    shared, hours = loaded.shared, chance.uniform(1, 12)
    duplicates = 0
    match change:
        case Change.FORWARDS:
            shared["real"] += int(hours * _HOUR)
        case Change.BACKWARDS:
            shared["real"] -= int(hours * _HOUR)
        case Change.ASLEEP:
            loaded.relay.signal_all(signal.SIGSTOP)
            shared["real"] += int(hours * _HOUR)
            shared["boot"] += int(hours * _HOUR)
            loaded.relay.signal_all(signal.SIGCONT)
        case Change.STOPPED:
            duplicates = _stop_a_worker(loaded)
    before = loaded.load.acked()
    eventually(lambda: loaded.load.acked() > before + _GOES_ON, "mail goes on", within=30)
    return duplicates


def _stop_a_worker(loaded: LoadedRelay) -> int:
    """Stop it, and its supervisor, which would kill it; let another one take over, and then let it go on.

    What it was sending may come twice.
    """
    assert loaded.relay.process is not None
    supervisor = loaded.relay.process.pid
    worker = eventually(lambda: _laden(loaded), "mail is in its hands", within=30)
    loaded.flow.clear()
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(worker, signal.SIGSTOP)
    while _is_locked(loaded):
        # It was in a transaction. Its supervisor would kill it, and free the others.
        os.kill(worker, signal.SIGCONT)
        eventually(lambda: not _is_locked(loaded), "it has ended its transaction")
        os.kill(worker, signal.SIGSTOP)
    waiting = _leased(loaded, worker)
    for clock in ("real", "boot", "monotonic"):
        loaded.shared[clock] += _LEASE
    eventually(
        lambda: waiting.isdisjoint(row.address for row in loaded.relay.rows(_UNFINISHED)),
        "another worker has taken over",
        within=_TAKEN_OVER_WITHIN,
    )
    os.kill(worker, signal.SIGCONT)
    os.kill(supervisor, signal.SIGCONT)
    loaded.flow.set()
    return _CONNECTIONS


def _laden(loaded: LoadedRelay) -> int:
    """Return a worker that has mail waiting in its hands, 0 so far: who has the clients has nearly all of it."""
    return next((each for each in loaded.workers() if len(_leased(loaded, each)) > _IN_HAND), 0)


def _leased(loaded: LoadedRelay, worker: int) -> set[str]:
    """Return the recipients whose lease a worker has."""
    [name] = {
        each["worker"] for each in loaded.relay.events("worker_ready") if each["pid"] == worker
    }
    with closing(apsw.Connection(str(loaded.relay.queue), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.set_busy_timeout(10_000)
        return {str(address) for (address,) in db.execute(_LEASED, (name,))}


def _is_locked(loaded: LoadedRelay) -> bool:
    """Tell whether nobody can write to the queue: whoever is stopped inside a transaction keeps its lock."""
    with closing(apsw.Connection(str(loaded.relay.queue), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        db.set_busy_timeout(_LOCKED_FOR)
        try:
            db.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            return True
        db.execute("ROLLBACK")
        return False


def control(place: Path, fault: str, *, seed: int = 1) -> Found:
    """Stop workers until a fault that was put in is found."""
    return change_often(
        place, times=12, seed=seed, fault=fault, changes=(Change.STOPPED,), until_wrong=True
    )

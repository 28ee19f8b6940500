"""`kill -9` of a worker, of the supervisor, or of all, at points with names and at random, again and again.

Clients send mail without a pause; after some kills they stop, the queue empties, and what they know is held against what came.
"""

import random  # noqa: TID251 -- seeded
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.proof.killed_relay import AT_RANDOM, a_relay
from tests.proof.modes import Mode
from tests.proof.points import POINTS, Point, Victim, points_of


@dataclass(frozen=True, slots=True)
class Control:
    """A fault of `planted`, in which mode it shows, and at which points."""

    fault: str
    points: Sequence[str]
    mode: Mode = Mode.SMARTHOST


CONTROLS = (
    Control(
        "a reply before the commit",
        ("before the first write of a commit", "between the writes of a commit"),
    ),
    Control("an outbox outside the transaction", ("in settle, between its writes",)),
    Control(
        "a refusal that only the session is told",
        ("in settle of a refusal, after its sync", "before the refusal is told"),
        Mode.CUT_THROUGH,
    ),
    Control(
        "a reply before the answer of the server",
        ("before new mail goes to the server",),
        Mode.POSTGRES,
    ),
)
_BATCH = 30
_USUAL = "checkpoints come often"  # no fault: what is rare happens often


@dataclass(slots=True)
class Found:
    """What came of it."""

    kills: Counter[str] = field(default_factory=Counter)  # by point
    missed: Counter[str] = field(default_factory=Counter)  # nobody came there in time
    victims: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    acked: int = 0
    twice: int = 0
    wrong: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Found") -> Self:
        for name in ("kills", "missed", "victims", "messages", "acked", "twice", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def kill_at_once(place: Path, relays: int, *, seconds: float, seed: int, mode: Mode) -> Found:
    """Have so many relays killed at once, each often, for so long: most of it is waiting."""

    def run(number: int) -> Found:
        (folder := place / str(number)).mkdir()
        chosen = seed * 1000 + number
        return kill_often(folder, kills=10**6, seconds=seconds, seed=chosen, mode=mode)

    found = Found()
    with ThreadPoolExecutor(relays) as pool:
        for each in pool.map(run, range(relays)):
            found += each
    return found


def kill_often(
    place: Path,
    *,
    kills: int,
    seconds: float = 3600,
    seed: int = 1,
    mode: Mode = Mode.SMARTHOST,
    fault: str = "",
    points: Sequence[Point] = (),
    batch: int = _BATCH,
    until_wrong: bool = False,
) -> Found:
    """Kill so often, for so long at the most; `fault` is one of PLANTED. Each point has its turn, all of the mode if none is named.

    After `batch` kills all mail is counted, and another relay begins.
    """
    chance, found, began = random.Random(seed), Found(), time.monotonic()
    turns = _turns(points or (*points_of(mode), *[AT_RANDOM] * 9), chance)
    if mode is not Mode.POSTGRES:
        fault = fault or _USUAL
    while found.kills.total() < kills and time.monotonic() < began + seconds:
        (folder := place / "world").mkdir()
        wrong = len(found.wrong)
        with a_relay(folder, chance, mode=mode, fault=fault) as world:
            point = AT_RANDOM
            try:
                for _ in range(min(batch, kills - found.kills.total())):
                    if time.monotonic() > began + seconds:
                        break
                    point = next(turns)
                    _note(found, point, world.kill(point))
                counted = world.end()
            except (AssertionError, OSError) as error:
                found.wrong.append(f"{point.name}: {error}")
            else:
                found.messages += counted.messages
                found.acked += counted.acked
                found.twice += counted.twice
                found.wrong += counted.wrong
        if found.wrong and until_wrong:
            break
        if len(found.wrong) > wrong:
            folder.rename(place / f"wrong{len(found.wrong)}")  # to be looked at
        else:
            shutil.rmtree(folder)
    return found


def find(place: Path, control: Control, *, seed: int = 1) -> Found:
    """Kill until a fault that was put in is found."""
    return kill_often(
        place,
        kills=60,
        seed=seed,
        mode=control.mode,
        fault=control.fault,
        points=[point for point in POINTS if point.name in control.points],
        batch=4,
        until_wrong=True,
    )


def _note(found: Found, point: Point, victim: Victim | None) -> None:
    if victim is None:
        found.missed[point.name] += 1
    else:
        found.kills[point.name] += 1
        found.victims[victim.value] += 1


def _turns(points: Sequence[Point], chance: random.Random) -> Iterator[Point]:
    while True:
        yield from chance.sample(points, len(points))

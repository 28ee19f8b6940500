"""Where a process is killed: points with names, in the order of a message's life, and then of a relay's.

A point is one step, or some that the same process passes one after the other: only the last one kills. What a step is
about says `shim.c`.
"""

from dataclasses import dataclass
from enum import Enum

from tests.proof.shim import STEPS, Shared

TAKEN = "250 2.0.0 taken"  # what a next hop says to a final dot
_WAL = "queue.db-wal"
_DOT = "\r\n.\r\n"


class While(Enum):
    """What has to go on so that a process gets to the point."""

    MAIL = "mail comes and goes"
    RELOAD = "a reload"
    BACKUP = "a backup"
    STOP = "a clean stop"
    START = "a start"
    MIGRATION = "a migration"


class Victim(Enum):
    """Who is killed."""

    WHO_GETS_THERE = "who gets there"
    SUPERVISOR = "the supervisor"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: its letter of `shim.c`, and what it is about."""

    operation: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """A point with its steps; `most`: it is one of so many that are alike, as the writes of a commit are."""

    name: str
    steps: tuple[Step, ...]
    most: int = 1
    on: While = While.MAIL


def _at(name: str, *steps: tuple[str, str] | str, most: int = 1, on: While = While.MAIL) -> Point:
    assert len(steps) <= STEPS
    made = tuple(Step(*((each,) if isinstance(each, str) else each)) for each in steps)
    return Point(name, made, most, on)


_ANSWERED = ("R", TAKEN)

POINTS = (
    # A message comes in.
    _at("before the reply to DATA", ("t", "354 ")),
    _at("after the reply to DATA", ("T", "354 ")),
    _at("in the content, on its file", ("W", "queue.db.content/*.part"), most=4),
    _at("before the sync of a content file", ("s", "queue.db.content/*.part")),
    _at("before the name of a content file", ("n", "queue.db.content/*")),
    _at("after the name of a content file", ("N", "queue.db.content/*")),
    _at("before the sync of the names of content files", ("s", "queue.db.content")),
    _at("before the first write of a commit", ("w", _WAL)),
    _at("between the writes of a commit", ("W", _WAL), most=40),
    _at("before the sync of a commit", ("s", _WAL)),
    _at("after the sync of a commit", ("S", _WAL)),
    _at("before the 250", ("t", " queued as ")),
    _at("after the 250", ("T", " queued as ")),
    # It goes out.
    _at("after MAIL outward", ("T", "MAIL FROM:")),
    _at("before the dot outward", ("t", _DOT)),
    _at("after the dot outward", ("T", _DOT)),
    _at("after the next hop's reply to the dot", _ANSWERED),
    _at("in settle, before its commit", _ANSWERED, ("w", _WAL)),
    _at("in settle, between its writes", _ANSWERED, ("W", _WAL), most=40),
    _at("in settle, before its sync", _ANSWERED, ("s", _WAL)),
    _at("in settle, after its sync", _ANSWERED, ("S", _WAL)),
    _at("before a line of the status log", _ANSWERED, ("w", "status.log")),
    _at("after a line of the status log", _ANSWERED, ("W", "status.log")),
    _at("before a content file goes", ("u", "queue.db.content/*")),
    _at("after a content file has gone", ("U", "queue.db.content/*")),
    _at("in a checkpoint, between its writes", ("W", "queue.db"), most=60),
    _at("in a checkpoint, before its sync", ("s", "queue.db")),
    # The relay itself.
    _at("in a reload, the settings are read", ("O", "relayd.toml"), on=While.RELOAD),
    _at("in a reload, a worker begins", ("O", _WAL), most=3, on=While.RELOAD),
    _at("in a backup, between its writes", ("W", "copy*/queue.db.part"), most=60, on=While.BACKUP),
    _at("in a backup, before its sync", ("s", "copy*/queue.db.part"), on=While.BACKUP),
    _at("in a backup, before its name", ("n", "copy*/queue.db.part"), on=While.BACKUP),
    _at("in a clean stop, between its writes", ("W", "queue.db"), most=40, on=While.STOP),
    _at("in a clean stop, before its last sync", ("s", "queue.db"), on=While.STOP),
    _at("in a clean stop, before the log goes", ("u", _WAL), on=While.STOP),
    _at("in a start, the queue is opened", ("O", "queue.db"), most=4, on=While.START),
    _at("in a start, the log is filled up", ("W", _WAL), most=36, on=While.START),
    _at("in a start, before a sync", ("s", "*"), most=4, on=While.START),
    _at("in a migration, between its writes", ("W", "queue.db*"), most=120, on=While.MIGRATION),
    _at("in a migration, before a sync", ("s", "queue.db*"), most=40, on=While.MIGRATION),
)


class Ambush:
    """Has who gets to a point killed, or somebody else then."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def lay(self, point: Point, *, nth: int = 1, target: int = 0) -> None:
        """Wait at the point for its `nth` time. `target` 0: who gets there; else a process, or minus a group."""
        self.lift()
        for number, step in enumerate(point.steps):
            self._shared.put_step(number, step.operation, step.about.encode())
        self._shared["target"] = target
        self._shared["left"] = nth
        self._shared["killed"] = self._shared["passed"] = 0
        self._shared["steps"] = len(point.steps)

    def lift(self) -> None:
        """Wait no longer."""
        self._shared["steps"] = 0

    @property
    def killed_by(self) -> int:
        """The process that got there; 0: none did."""
        return self._shared["killed"]

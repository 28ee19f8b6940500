"""Where a process is killed: points with names, in the order of a message's life, and then of a relay's.

A point is one step, or some that the same process passes one after the other: only the last one kills. What a step is
about says `shim.c`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tests.proof.modes import Mode
from tests.proof.shim import STEPS, Shared

TAKEN = "250 2.0.0 taken"  # what a next hop says to a final dot
NO_USER = "550 5.1.1 no such user"  # and to a recipient that it refuses
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
    modes: Sequence[Mode] = tuple(Mode)  # in which there is such a step

    @property
    def is_of_a_file(self) -> bool:
        """Tell whether it is about a queue that is a file."""
        files = [step for step in self.steps if step.operation in "wWsSoOnNuU"]
        return self.on in {While.BACKUP, While.MIGRATION} or any(
            step.about not in {"relayd.toml", "status.log"} for step in files
        )


def _at(
    name: str,
    *steps: tuple[str, str] | str,
    most: int = 1,
    on: While = While.MAIL,
    only: Mode | None = None,
) -> Point:
    assert len(steps) <= STEPS
    made = tuple(Step(*((each,) if isinstance(each, str) else each)) for each in steps)
    return Point(name, made, most, on, tuple(Mode) if only is None else (only,))


def _in_session(name: str, *steps: tuple[str, str]) -> Point:
    return _at(name, *steps, only=Mode.CUT_THROUGH)


def _in_database(
    name: str, *steps: tuple[str, str] | str, most: int = 1, on: While = While.MAIL
) -> Point:
    return _at(name, *steps, most=most, on=on, only=Mode.POSTGRES)


_ANSWERED = ("R", TAKEN)
_REFUSED = ("R", NO_USER)
_CONTENT = "X-Number: "  # of each message

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
    # Its client waits for the next hop.
    _in_session("before the next hop's 250 is told", ("t", " sent as ")),
    _in_session("after the next hop's 250 is told", ("T", " sent as ")),
    _in_session("after the next hop's refusal", _REFUSED),
    _in_session("in settle of a refusal, before its commit", _REFUSED, ("w", _WAL)),
    _in_session("in settle of a refusal, after its sync", _REFUSED, ("S", _WAL)),
    _in_session("before the refusal is told", ("t", " said: no such user")),
    _in_session("after the refusal is told", ("T", " said: no such user")),
    # The queue is in PostgreSQL.
    _in_database("before new mail goes to the server", ("q", _CONTENT)),
    _in_database("after new mail has gone to the server", ("Q", _CONTENT)),
    _in_database("after the server's answer to new mail", ("Q", _CONTENT), "A"),
    _in_database("before a commit goes to the server", ("q", "COMMIT")),
    _in_database("after a commit has gone to the server", ("Q", "COMMIT")),
    _in_database("after the server's answer to a commit", ("Q", "COMMIT"), "A"),
    _in_database("between any two statements", "q", most=60),
    _in_database("in settle, before its statement", _ANSWERED, "q"),
    _in_database("in settle, after its statement", _ANSWERED, "Q"),
    _in_database("in settle, after the server's answer", _ANSWERED, "Q", "A"),
    _in_database("in a reload, between two statements", "q", most=60, on=While.RELOAD),
    _in_database("in a clean stop, between two statements", "q", most=10, on=While.STOP),
    _in_database("in a start, between two statements", "q", most=40, on=While.START),
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


def points_of(mode: Mode) -> Sequence[Point]:
    """Return those that a relay in that mode comes to."""
    return [
        point
        for point in POINTS
        if mode in point.modes and not (mode is Mode.POSTGRES and point.is_of_a_file)
    ]


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

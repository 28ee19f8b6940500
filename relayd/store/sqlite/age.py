"""How long this queue has been served, and noticing that the wall clock was set.

Owns the count by which mail ages: milliseconds in which a daemon served the queue, by the monotonic
clock. Neither a clock that is set nor a time in which relayd was down moves it (S-10). All workers of
a daemon count alike, since they share the machine's monotonic clock and a base that the first of them
writes down. A crash loses what was not written down, some seconds of age.

Instants of the wall clock that lie ahead, the ends of waits and pauses, are moved when that clock is
set, so that each wait is as long as it was meant to be (F-30, F-31).
"""

import apsw

from relayd.ports.outward import Clock
from relayd.store.sqlite import destinations
from relayd.store.sqlite.values import to_ms

_IS_SET = 60_000  # milliseconds between the clocks: less is no jump


class Age:
    """The count, as one process reads it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base = 0  # the count when the monotonic clock showed 0
        self._ahead = self._ahead_now()  # the wall clock, of the monotonic one
        self._has_begun = False

    def served(self) -> int:
        return self._base + self._monotonic()

    def begin(self, db: apsw.Connection, *, is_first: bool) -> None:
        """Take up the count, at the start of a worker; `is_first`: of its daemon.

        What went by since the last daemon is no wait that was cut short, unless it was less than
        nothing.
        """
        if is_first:
            _write(db, "served_base", _read(db, "served", 0) - self._monotonic())
        self._base = _read(db, "served_base", 0)
        self._has_begun = True
        self.watch(db, only_back=is_first)

    def keep_up(self, db: apsw.Connection) -> None:
        """Move the waits, if need be, before anything is written by a clock that was set.

        What is written afterwards is of the new clock, and must not be moved.
        """
        if self._has_begun and abs(self._ahead_now() - self._ahead) >= _IS_SET:
            self.watch(db)

    def watch(self, db: apsw.Connection, *, only_back: bool = False) -> None:
        """Write the count down, and move the waits if the wall clock was set."""
        now, served = to_ms(self._clock.now()), self.served()
        seen, before = _read(db, "clock", now), _read(db, "served", served)
        _write(db, "clock", now)
        _write(db, "served", served)
        jump = (now - seen) - (served - before)
        if only_back:
            jump = min(jump, 0)
        if abs(jump) >= _IS_SET:
            destinations.move_waits(db, now=now, jump=jump)
        else:  # what moved them is committed: it may have been rolled back until then
            self._ahead = self._ahead_now()

    def _ahead_now(self) -> int:
        return to_ms(self._clock.now()) - self._monotonic()

    def _monotonic(self) -> int:
        return int(self._clock.monotonic() * 1000)


def _read(db: apsw.Connection, name: str, default: int) -> int:
    found = db.execute("SELECT value FROM meta WHERE key = ?", (name,)).get
    return default if found is None else int(found)


def _write(db: apsw.Connection, name: str, value: int) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

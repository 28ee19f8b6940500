"""How long this queue has been served, and noticing that the wall clock was set.

Owns the count by which mail ages: milliseconds in which a daemon served the queue, by the monotonic
clock. Neither a clock that is set nor a time in which no relay was up moves it (S-10). Each process has its own
base: what the count is when its monotonic clock shows 0.

Instants of the wall clock that lie ahead, the ends of waits and pauses, are moved when that clock is
set, so that each wait is as long as it was meant to be (F-30, F-31).
"""

from relayd.ports.outward import Clock
from relayd.store.postgres import destinations, meta
from relayd.store.postgres.line import Session
from relayd.store.values import to_ms

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

    async def begin(self, db: Session, *, is_first: bool) -> None:
        """Take up the count, at the start of a worker; `is_first`: no daemon serves the queue.

        What went by since the last daemon is no wait that was cut short, unless it was less than
        nothing.
        """
        if is_first:
            self._base = await meta.number(db, "served", 0) - self._monotonic()
        elif not self._has_begun:
            now = to_ms(self._clock.now())
            since = now - await meta.number(db, "clock", now)
            self._base = await meta.number(db, "served", 0) + max(since, 0) - self._monotonic()
        self._has_begun = True
        await self.watch(db, only_back=is_first)

    async def keep_up(self, db: Session) -> None:
        """Move the waits, if need be, before anything is written by a clock that was set.

        What is written afterwards is of the new clock, and must not be moved.
        """
        if self._has_begun and abs(self._ahead_now() - self._ahead) >= _IS_SET:
            await db.begin()
            await self.watch(db)

    async def watch(self, db: Session, *, only_back: bool = False) -> None:
        """Write the count down, and move the waits if the wall clock was set."""
        now, served = to_ms(self._clock.now()), self.served()
        seen = await meta.number(db, "clock", now)
        before = await meta.number(db, "served", served)
        await meta.write_number(db, "clock", now)
        await meta.write_number(db, "served", served)
        jump = (now - seen) - (served - before)
        if only_back:
            jump = min(jump, 0)
        if abs(jump) >= _IS_SET:
            await destinations.move_waits(db, now=now, jump=jump)
        else:  # what moved them is committed: it may have been rolled back until then
            self._ahead = self._ahead_now()

    def _ahead_now(self) -> int:
        return to_ms(self._clock.now()) - self._monotonic()

    def _monotonic(self) -> int:
        return int(self._clock.monotonic() * 1000)

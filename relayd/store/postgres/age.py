"""How long this queue has been served, and noticing that the wall clock was set.

Owns the count by which mail ages: milliseconds in which a daemon served the queue, by the monotonic
clock. Neither a clock that is set nor a time in which no relay was up moves it (S-10). Each process has its own
base: what the count is when its monotonic clock shows 0. Of several that serve, the count of the highest holds.

Instants of the wall clock that lie ahead, the ends of waits and pauses, are moved when that clock is
set, so that each wait is as long as it was meant to be (F-30, F-31). Each process looks at its own clocks alone, so
machines whose clocks differ move nothing; `moved` in `meta` says what was moved in all, so each jump moves once.
"""

import math
from collections.abc import Callable

from relayd.mail.ids import WorkerIdentity
from relayd.ports.outward import Clock
from relayd.store.postgres import destinations, meta
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import SERVER_CLOCK
from relayd.store.values import to_ms

_IS_SET = 60_000  # milliseconds between the clocks: less is no jump
_ALIVE_FOR = 60_000  # milliseconds after a worker was seen
# Until this transaction ends nobody else moves anything, so each jump is looked at by one after the other.
_TAKE = "INSERT INTO meta (key, value) VALUES ('served', '0') ON CONFLICT (key) DO UPDATE SET value = meta.value"
_FACTS = (
    f"WITH c AS (SELECT coalesce($1::bigint, {SERVER_CLOCK}) AS at)"  # noqa: S608 -- constants
    " SELECT c.at, EXISTS (SELECT 1 FROM worker WHERE node <> $2 AND seen_at > c.at - $3),"
    " (SELECT convert_from(value, 'UTF8')::bigint FROM meta WHERE key = 'moved'),"
    " (SELECT convert_from(value, 'UTF8')::bigint FROM meta WHERE key = 'served') FROM c"
)


class Age:
    """The count, as one process reads it."""

    def __init__(self, clock: Clock, leases_by: Callable[[], float] | None = None) -> None:
        """`leases_by` is a clock in seconds in the place of the server's."""
        self._clock = clock
        self._leases_by = leases_by
        self._base = 0  # the count when the monotonic clock showed 0
        self._ahead = self._ahead_now()  # the wall clock, of the monotonic one
        self._server_ahead = 0  # the server's clock, of the monotonic one here
        self._server_seen: int | None = None  # the same, when it was seen last
        self._server_set = (
            -math.inf
        )  # seconds of the monotonic clock: when it was found set forward
        self._moved = 0  # by how much waits were moved in all, when that was so
        self._node = ""
        self._has_begun = False

    def served(self) -> int:
        return self._base + self._monotonic()

    def server_by(self) -> int | None:
        """Return what the server's clock shows at most, unless it was set; None: it was never seen."""
        return (
            None if self._server_seen is None else self._server_seen + self._monotonic() + _IS_SET
        )

    def since_server_was_set(self) -> float:
        """Return the seconds since the server's clock was found to be set forward."""
        return self._clock.monotonic() - self._server_set

    async def begin(self, db: Session, worker: WorkerIdentity, *, is_first: bool) -> None:
        """Take up the count, at the start of a worker; `is_first`: of its daemon.

        What went by since the last daemon of this machine is no wait that was cut short, unless it was less than
        nothing.
        """
        self._node = worker.node
        if self._has_begun and not is_first:
            await self.watch(db)
            return
        await db.execute(_TAKE)
        server_ahead, has_others, self._moved, served = await self._facts(db)
        self._base = served - self._monotonic()
        now = to_ms(self._clock.now())
        back = min(now - await meta.number(db, self._key, now), 0) if is_first else 0
        if back <= -_IS_SET and not has_others:
            await self._move(db, back)
        await self._write(db)
        self._ahead, self._server_ahead, self._has_begun = self._ahead_now(), server_ahead, True

    async def keep_up(self, db: Session) -> None:
        """Move the waits, if need be, before anything is written by a clock that was set.

        What is written afterwards is of the new clock, and must not be moved.
        """
        if self._has_begun and abs(self._ahead_now() - self._ahead) >= _IS_SET:
            await db.begin()
            await self.watch(db)

    async def watch(self, db: Session) -> None:
        """Write the count down, and move the waits if the wall clock was set and they go by it.

        They do where it was set everywhere, the server's included, or no other machine has the queue. A machine whose
        clock alone was set moves nothing: most waits are by the clocks of others.
        """
        await db.execute(_TAKE)
        server_ahead, has_others, moved, served = await self._facts(db)
        ahead = self._ahead_now()
        jump = ahead - self._ahead
        is_everywhere = abs(server_ahead - self._server_ahead - jump) < _IS_SET
        left = jump - (moved - self._moved)  # others may have seen the same
        if abs(jump) >= _IS_SET and abs(left) >= _IS_SET and (is_everywhere or not has_others):
            await self._move(db, left)  # known when it is committed: next time nothing is left
        else:
            self._ahead, self._server_ahead, self._moved = ahead, server_ahead, moved
        # Another one may have served while the store was away from here.
        self._base = max(self._base, served - self._monotonic())
        await self._write(db)

    async def _move(self, db: Session, jump: int) -> None:
        await destinations.move_waits(db, now=to_ms(self._clock.now()), jump=jump)
        await meta.write_number(db, "moved", await meta.number(db, "moved", 0) + jump)

    async def _write(self, db: Session) -> None:
        now = to_ms(self._clock.now())
        # The clock is for views, with `served`.
        noted = {self._key: now, "clock": now, "served": self.served()}
        await meta.write_numbers(db, noted)

    async def _facts(self, db: Session) -> tuple[int, bool, int, int]:
        """Return how far the server's clock is ahead, whether other machines have the queue, `moved` and `served`."""
        at = None if self._leases_by is None else int(self._leases_by() * 1000)
        [(server, has_others, moved, served)] = await db.fetch(_FACTS, at, self._node, _ALIVE_FOR)
        ahead = int(server) - self._monotonic()
        if self._server_seen is not None and ahead - self._server_seen >= _IS_SET:
            self._server_set = self._clock.monotonic()
        self._server_seen = ahead
        return ahead, has_others, moved or 0, served or 0

    @property
    def _key(self) -> str:
        return f"clock of {self._node}"

    def _ahead_now(self) -> int:
        return to_ms(self._clock.now()) - self._monotonic()

    def _monotonic(self) -> int:
        return int(self._clock.monotonic() * 1000)

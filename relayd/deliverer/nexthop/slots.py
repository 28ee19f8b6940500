"""Slots for connections to one site, of one worker."""

import asyncio
from collections import deque
from collections.abc import Callable

from relayd.policy.delivery.throttle import SlowStart, line_kept


class SentAway(Exception):
    """Others need the room of who waits, and the slot is far off."""


class ConnectionSlots:
    """As many as a slow start allows, given in the order in which they were asked for.

    Where the limit is scarce none is given without a share of it (`share`).
    """

    def __init__(self, most: int) -> None:
        self._slow_start = SlowStart(most)
        self._has_share = True
        self._on_change: Callable[[], None] | None = None
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._line_since, self._served = (
            0.0,
            0,
        )  # when somebody began to wait last, and slots given since

    @property
    def allowed(self) -> int:
        return self._slow_start.allowed

    @property
    def given(self) -> int:
        """How many are given now."""
        return self._slow_start.allowed if self._has_share else 0

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def are_awaited(self) -> bool:
        """Tell whether somebody waits for one."""
        return any(not slot.done() for slot in self._waiting)

    @property
    def is_full(self) -> bool:
        """Tell whether the next one has to wait."""
        return self._taken >= self.given

    @property
    def is_crowded(self) -> bool:
        """Tell whether more are taken than are allowed by now."""
        return self._taken > self.given

    async def acquire(self) -> None:
        """Take a slot, waiting for it as long as it takes. Raises SentAway."""
        loop = asyncio.get_running_loop()
        if not self.are_awaited:
            self._line_since, self._served = loop.time(), 0
        slot: asyncio.Future[None] = loop.create_future()
        self._waiting.append(slot)
        self._give()
        if not slot.done():
            self._tell()
        try:
            await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled() and slot.exception() is None:
                self.release()  # it was given at this very moment
            self._tell()
            raise

    def shorten_line(self, now: float, *, to_seconds: float) -> None:
        """Send those away who would wait for longer than that, as fast as it goes now; `now` is the loop's."""
        waiting = [slot for slot in self._waiting if not slot.done()]
        kept = line_kept(self._served, now - self._line_since, to_seconds=to_seconds)
        for slot in waiting[kept:]:
            slot.set_exception(SentAway())
            self._waiting.remove(slot)

    def take(self) -> None:
        """Take one at once, for a connection that is there."""
        self._taken += 1

    def release(self) -> None:
        self._taken -= 1
        self._give()
        self._tell()

    def limit(self, most: int) -> None:
        self._slow_start = self._slow_start.limited(most)

    def watch(self, on_change: Callable[[], None] | None) -> None:
        """Call `on_change` when somebody has to wait, waits no more, or gave one back; None: nobody."""
        self._on_change = on_change

    def share(self, has_share: bool) -> None:  # noqa: FBT001 -- it is what is told
        """Give some, or none, from now on."""
        self._has_share = has_share
        self._give()

    def answered(self) -> None:
        self._slow_start = self._slow_start.raised()
        self._give()

    def turned_away(self) -> None:
        self._slow_start = self._slow_start.halved()

    def _tell(self) -> None:
        if self._on_change is not None:
            self._on_change()

    def _give(self) -> None:
        while self._waiting and self._taken < self.given:
            slot = self._waiting.popleft()
            if not slot.done():
                self._taken += 1
                self._served += 1
                slot.set_result(None)

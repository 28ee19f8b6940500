"""What is read off the store for those who scrape and probe: in a thread, one reading at a time.

A reading holds for some seconds, and longer the longer it took. So many who ask cost no more than one. If a
reading takes too long, who asks gets what was known before, and who asks later its result.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from relayd.ports.outward import Clock

T = TypeVar("T")

_FRESH_FOR = 5.0  # seconds
_PAUSE = 10  # times as long as reading took, before it is read again: a queue of a million takes a few seconds


class Reading(Generic[T]):
    """The last one, and the one under way."""

    def __init__(self, read: Callable[[], T | None], clock: Clock) -> None:
        """`read` is called in a thread."""
        self._read = read
        self._clock = clock
        self._under_way: asyncio.Future[T | None] | None = None
        self._last: T | None = None
        self._until = 0.0  # monotonic: as long as that holds

    async def latest(self, *, within: float) -> T | None:
        """Return what was read last, or now; None if nothing could be. Raises what `read` raises.

        Waits so many seconds at most.
        """
        began = self._clock.monotonic()
        if self._under_way is None and began >= self._until:
            loop = asyncio.get_running_loop()
            with suppress(RuntimeError):  # the system gives us no thread
                self._under_way = loop.run_in_executor(None, self._read)
                self._under_way.add_done_callback(partial(self._ended, began))
        if (reading := self._under_way) is not None:
            await asyncio.wait({reading}, timeout=within)
            if reading.done():
                return reading.result()
        return self._last

    def _ended(self, began: float, reading: "asyncio.Future[T | None]") -> None:
        self._under_way = None
        if reading.exception() is None:  # else who waits gets it
            self._last = reading.result()
            ended = self._clock.monotonic()
            self._until = ended + max(_FRESH_FOR, _PAUSE * (ended - began))

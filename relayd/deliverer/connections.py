"""Slots for the outward connections of one worker, over all its destinations.

The system gives a process only so many descriptors, so there are so many slots, and a connection is
opened by who has one. First come, first served. When none is free, the connection that has waited longest
for more mail leaves; and while somebody waits, a destination with several connections gives one up
with each message and gets no more: one without any comes before another's tenth.

Waiting costs the mail nothing: its lease is renewed, it has not been tried, and a stop ends the wait.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from relayd.trace import tracing

Leave = Callable[[], None]
"""Asks a connection without work to leave; it gives its slot back when it is closed."""


class Connections:
    """All slots of a worker."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resting: dict[Leave, None] = {}  # the longest first

    @property
    def are_short(self) -> bool:
        """Somebody waits for a slot."""
        return bool(self._waiting)

    @property
    def room(self) -> int:
        """How many can be had without waiting for somebody's work."""
        return 0 if self._waiting else self._free + len(self._resting)

    async def acquire(self, *, first: bool) -> None:
        """Take a slot, waiting for it as long as it takes; before all others if `first`."""
        if self._free:
            self._free -= 1
            return
        if tracing.is_on:
            tracing.tell("connection_awaited", reason="all connections of this worker are in use")
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if first else self._waiting.append)(slot)
        if self._resting:
            leave = next(iter(self._resting))
            del self._resting[leave]
            leave()
        try:
            await slot
        except asyncio.CancelledError:
            if slot.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(slot)
            else:  # it was given at this very moment
                self.release()
            raise

    def release(self) -> None:
        while self._waiting:
            slot = self._waiting.popleft()
            if not slot.done():
                slot.set_result(None)
                return
        self._free += 1

    def rest(self, leave: Leave) -> None:
        """Note that a connection has no work; it may be asked to leave, once, at this moment even."""
        if self._waiting:
            leave()
        else:
            self._resting[leave] = None

    def resume(self, leave: Leave) -> None:
        """Note that it has work again, or leaves."""
        self._resting.pop(leave, None)


class Share:
    """What one destination has of the slots."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._held = 0

    @property
    def held(self) -> int:
        """How many it has."""
        return self._held

    @property
    def gives_way(self) -> bool:
        """Tell whether it has several while somebody waits."""
        return self._held > 1 and self._connections.are_short

    def limit(self, allowed: int) -> int:
        """Return how many connections it may have, of those that its servers allow; at least 1.

        No more than there is room for: who has one does not wait for another.
        """
        most = self._held + self._connections.room - self._connections.are_short
        return max(1, min(allowed, most))

    async def acquire(self, *, first: bool = False) -> None:
        await self._connections.acquire(first=first)
        self._held += 1

    def release(self) -> None:
        self._held -= 1
        self._connections.release()

    def rest(self, leave: Leave) -> None:
        self._connections.rest(leave)

    def resume(self, leave: Leave) -> None:
        self._connections.resume(leave)

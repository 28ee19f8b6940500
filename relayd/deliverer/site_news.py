"""What all workers saw of sites, read by one worker for all its parts that keep to it.

It is read with each look for work, a second apart at least, so workers and machines agree within seconds.
"""

import math
from collections.abc import Awaitable, Callable

from relayd.ports.outward import Clock
from relayd.ports.sites import Changes, SiteStates

_LOOKED_AT = 1.0  # seconds between two looks at the store


class SiteNews:
    """Reads what changed, and gives it to those who watch in the order in which they came."""

    def __init__(self, states: SiteStates, *, clock: Clock) -> None:
        self.states = states
        self._clock = clock
        self._watchers: list[Callable[[Changes], Awaitable[None]]] = []
        self._revision = 0
        self._next_look = -math.inf

    def watch(self, learn: Callable[[Changes], Awaitable[None]]) -> None:
        """Call `learn` with each look, also if nothing changed: time goes by. It may raise StoreError."""
        self._watchers.append(learn)

    async def refresh(self, *, at_once: bool = False) -> None:
        """Read what other workers saw. May raise StoreError."""
        if self._clock.monotonic() < self._next_look and not at_once:
            return
        self._next_look = self._clock.monotonic() + _LOOKED_AT
        changes = await self.states.site_states(self._revision)
        for learn in self._watchers:
            await learn(changes)
        self._revision = changes.revision  # only now: what fails is read again

    def look_soon(self) -> None:
        """Look with the next refresh: another worker knows more."""
        self._next_look = -math.inf

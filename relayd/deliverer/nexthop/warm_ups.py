"""When each new address of ours may send its next message to a site, as one worker counts it.

`relayd.policy.delivery.warm_up` has the pace; workers have equal shares of it. Nothing is stored: a restart gives each
site one message more.
"""

import math
from collections.abc import Mapping
from datetime import date

from relayd.policy.delivery.shares import Part
from relayd.policy.delivery.warm_up import seconds_between
from relayd.ports.outward import Clock

_SAVED = 60.0  # seconds whose turns may be taken later: so long the fall-back has all mail after the last one
_MOST = 10_000  # sites whose turns are kept, before those are dropped that are over


class WarmUps:
    """The addresses that began on a day; others may always send."""

    def __init__(self, began: Mapping[str, date], *, clock: Clock) -> None:
        self._began = began
        self._clock = clock
        self._workers = 1
        self._next: dict[tuple[str, str], float] = {}  # monotonic, by site and address

    def divide_by(self, part: Part) -> None:
        """Use an equal part from now on."""
        self._workers = max(1, part.members)

    def is_warming(self, source: str) -> bool:
        """Tell whether an address has a pace of its own now."""
        return self._between(source) is not None

    def wait(self, site: str, source: str | None) -> float:
        """Return the seconds until an address may send to a site; 0: now, infinite: not before it begins."""
        between = None if source is None else self._between(source)
        if between is None or between == float("inf"):
            return between or 0.0
        return max(0.0, self._next.get((site, source or ""), 0.0) - self._clock.monotonic())

    def take(self, site: str, source: str) -> None:
        """Let one message go to a site."""
        between, now = self._between(source), self._clock.monotonic()
        if between is None:
            return
        if len(self._next) >= _MOST:
            self._next = {key: due for key, due in self._next.items() if due > now}
        due = max(self._next.get((site, source), -math.inf), now - _SAVED)
        self._next[site, source] = due + between * self._workers

    def give_back(self, site: str, source: str) -> None:
        """Take a turn back that nobody used."""
        if (site, source) in self._next:
            self._next[site, source] -= (self._between(source) or 0.0) * self._workers

    def _between(self, source: str) -> float | None:
        began = self._began.get(source)
        return None if began is None else seconds_between(began, self._clock.now().date())

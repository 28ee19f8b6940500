"""How often the same thing is said.

What goes on for hours, tried again a few times a second, is one line of the log in a minute. What
differs from line to line is a few of them.
"""

from collections.abc import Hashable

_EVERY = 60.0  # seconds


class Seldom:
    """When one kind of line was written last."""

    def __init__(self) -> None:
        self._next = float("-inf")

    def is_due(self, now: float) -> bool:
        """Tell whether to write it; `now` is monotonic, in seconds. If so, it is written then."""
        if now < self._next:
            return False
        self._next = now + _EVERY
        return True


class AFew:
    """How many lines of one kind were written in this minute, and how many were not."""

    def __init__(self, most: int) -> None:
        self._most = most  # in a minute
        self._minute = Seldom()
        self._written = 0
        self._unsaid = 0

    def take(self, now: float) -> int | None:
        """Return how many were left out since the last line; None: this one is left out too."""
        if self._minute.is_due(now):
            self._written = 0
        if self._written >= self._most:
            self._unsaid += 1
            return None
        self._written += 1
        unsaid, self._unsaid = self._unsaid, 0
        return unsaid


class SeldomEach:
    """When each of many things was said last; beyond `most` the one of longest ago is forgotten."""

    def __init__(self, every: float, *, most: int) -> None:
        self._every = every  # seconds
        self._most = most
        self._said: dict[Hashable, float] = {}  # the oldest first

    def is_due(self, thing: Hashable, now: float) -> bool:
        """Tell whether to say it; `now` is monotonic, in seconds. If so, it is said then."""
        said = self._said.get(thing)
        if said is not None and now - said < self._every:
            return False
        self._said.pop(thing, None)
        self._said[thing] = now
        if len(self._said) > self._most:
            del self._said[next(iter(self._said))]
        return True

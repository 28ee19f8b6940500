"""How often the same thing is said.

What goes on for hours, tried again a few times a second, is one line of the log in a minute. What
differs from line to line is a few of them.
"""

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

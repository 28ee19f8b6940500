"""How often the same thing is said.

What goes on for hours, tried again a few times a second, is one line of the log in a minute.
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

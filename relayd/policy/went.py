"""How many messages a minute a site took lately, counted in steps of ten seconds."""

from collections import deque

_STEP = 10.0  # seconds
_LATELY = 300.0  # seconds
_LEAST = 30.0  # seconds to measure a rate over: less says little


class Went:
    """What one worker gave to one site; instants are seconds of one clock."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int]] = deque()  # the first message of each, and how many

    def note(self, now: float) -> None:
        """Count a message."""
        if self._steps and now - self._steps[-1][0] < _STEP:
            at, count = self._steps.pop()
            self._steps.append((at, count + 1))
        else:
            self._steps.append((now, 1))
        self._forget(now)

    def rate(self, now: float) -> float:
        """Return how many went in a minute: over five minutes, or since the first if there was none before.

        The first message opens that time, and so is not counted in it.
        """
        self._forget(now)
        if not self._steps:
            return 0.0
        count = sum(each for _, each in self._steps)
        since_first = max(_LEAST, now - self._steps[0][0])
        return 60 * max(count / _LATELY, (count - 1) / since_first)

    def _forget(self, now: float) -> None:
        while self._steps and now - self._steps[0][0] >= _LATELY:
            self._steps.popleft()

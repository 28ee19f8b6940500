"""Whether somebody asks again and again if the daemon is ready, and that it is about to stop: in memory that its processes share.

The supervisor makes it before it forks. Workers note each question, the supervisor that the daemon leaves. No lock: where
two write at once one question is lost, and the next one is noted.
"""

import mmap

from relayd.policy.stopping import is_watched

_LEAVES, *_ASKED = range(4)  # cells
_APART = 1000  # milliseconds between two questions that count
_SIZE = 4 * 8  # octets


class Probes:
    """The questions of one daemon, by the monotonic clock of the machine, in seconds."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, _SIZE)).cast("Q")  # zeros; shared over a fork

    def asked(self, now: float) -> None:
        """Note that somebody asks."""
        milliseconds = int(now * 1000)
        last, before, _ = _ASKED
        if milliseconds - self._cells[last] >= _APART:
            for cell, value in zip(
                _ASKED, (milliseconds, self._cells[last], self._cells[before]), strict=True
            ):
                self._cells[cell] = value

    def are_regular(self, now: float) -> bool:
        """Tell whether somebody asks again and again, and would see that the daemon leaves."""
        return is_watched([self._cells[cell] / 1000 for cell in _ASKED], now)

    @property
    def is_leaving(self) -> bool:
        return bool(self._cells[_LEAVES])

    def leave(self) -> None:
        """Say that the daemon is about to stop."""
        self._cells[_LEAVES] = 1

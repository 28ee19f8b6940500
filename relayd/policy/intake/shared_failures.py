"""Count failures in memory that processes share: all workers of a daemon know, also after a reload.

Owns the table: `ROOM` cells, in memory that the supervisor makes. Each name has one of them for ever, and
rarely two names the same one: so a flood of names gets rid of no count. A cell is 8 octets, written whole:
the count in 1/4096, and the instant in milliseconds. No lock: of two failures at once one may be lost.
Instants and waits are seconds of a clock that never goes back.
"""

from hashlib import blake2b
from mmap import mmap

from relayd.policy.intake.failures import Pace

ROOM = 10_007
OCTETS = ROOM * 8
"""How much memory the table needs."""
_ONE = 4096  # of a count
_AT_BITS = 48
_AT = (1 << _AT_BITS) - 1  # the lower part of a cell


class SharedFailures:
    """`key` is random, and the same in all processes: it hides which names share a count."""

    def __init__(self, pace: Pace, *, key: bytes, octets: bytearray | memoryview | mmap) -> None:
        """`octets` are the memory, all 0 at first; a cell has room for counts below 16."""
        assert pace.highest < 16
        self._pace = pace
        self._key = key
        self._cells = memoryview(octets).cast("Q")

    def wait(self, name: str, *, now: float) -> float:
        """Return for how long the next try has to wait; 0: not at all."""
        level, at = self._read(self._cell(name))
        return max(0.0, at + self._pace.wait(level) - now)

    def add(self, name: str, *, now: float) -> None:
        """Count one more."""
        cell = self._cell(name)
        level, at = self._read(cell)
        left = max(0.0, level - (now - at) / self._pace.every)
        level = min(left + 1, self._pace.highest)
        self._cells[cell] = round(level * _ONE) << _AT_BITS | int(now * 1000)

    def forget(self, name: str) -> None:
        self._cells[self._cell(name)] = 0

    def _read(self, cell: int) -> tuple[float, float]:
        """Return the count, and when it was that."""
        packed = self._cells[cell]
        return (packed >> _AT_BITS) / _ONE, (packed & _AT) / 1000

    def _cell(self, name: str) -> int:
        return int.from_bytes(blake2b(name.encode(), key=self._key, digest_size=8).digest()) % ROOM

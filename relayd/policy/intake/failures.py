"""Count failures, forgive them with time, and say how long to wait before the next try.

Owns the arithmetic and the bound on memory: no clock, no waiting. Instants and waits are seconds of a
clock that never goes back. What is counted is named by a text, of which only a keyed digest is kept.

Invariant: no count is given up before all of it is forgiven. Where there is no room for one more, the
caller is told so and counts something coarser.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b

FIRST_WAIT = 30.0  # seconds; each failure more doubles it
_AT_ONCE = 16  # part of the counts that is given up at once: to find them takes a look at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many failures are free, and how fast they are forgiven.

    Who never stops has `free` tries at once, a few more while the waits grow, and then one every
    `every` seconds.
    """

    free: int
    every: float  # seconds in which one failure is forgiven, and the longest wait

    def wait(self, level: float) -> float:
        """Return for how long to wait after a failure that made the count `level`."""
        excess = math.ceil(level) - self.free
        return 0.0 if excess < 0 else min(FIRST_WAIT * 2**excess, self.every)

    @property
    def highest(self) -> float:
        """The count from which on the wait is the longest: more is not remembered."""
        return self.free + max(0.0, math.ceil(math.log2(self.every / FIRST_WAIT)))


@dataclass(slots=True)
class _Count:
    level: float
    at: float  # when it was that

    def left(self, pace: Pace, now: float) -> float:
        return max(0.0, self.level - (now - self.at) / pace.every)


class Failures:
    """The counts of one kind.

    `room` is how many are kept at most. `shares` means that each name has one of `room` counts for
    ever, and rarely two names the same one: there is always room, and a flood of other names cannot
    get rid of a count, only add to it.
    """

    def __init__(self, pace: Pace, *, room: int, key: bytes, shares: bool = False) -> None:
        self._pace = pace
        self._room = room
        self._key = key
        self._shares = shares
        self._counts: dict[int, _Count] = {}
        self._sweep_at = -math.inf  # few counts are over before

    def wait(self, name: str, *, now: float) -> float:
        """Return for how long the next try has to wait; 0: not at all."""
        count = self._counts.get(self._digest(name))
        if count is None:
            return 0.0
        wait = self._pace.wait(count.level)
        return max(0.0, min(wait, count.at + wait - now))  # a sum may be rounded up

    def has(self, name: str, *, now: float) -> bool:
        """Tell whether a failure is not forgiven yet."""
        count = self._counts.get(self._digest(name))
        return count is not None and count.left(self._pace, now) > 0

    def add(self, name: str, *, now: float) -> bool:
        """Count one more; return False if there is no room for it."""
        digest = self._digest(name)
        count = self._counts.get(digest)
        if count is not None:
            count.level = min(count.left(self._pace, now) + 1, self._pace.highest)
            count.at = now
        elif self._has_room(now):
            self._counts[digest] = _Count(1.0, now)
        else:
            return False
        return True

    def forget(self, name: str) -> None:
        self._counts.pop(self._digest(name), None)

    def __len__(self) -> int:
        return len(self._counts)

    def _has_room(self, now: float) -> bool:
        if len(self._counts) >= self._room and now >= self._sweep_at:
            self._counts = {
                digest: count
                for digest, count in self._counts.items()
                if count.left(self._pace, now) > 0
            }
            ends = sorted(each.at + each.level * self._pace.every for each in self._counts.values())
            self._sweep_at = ends[len(ends) // _AT_ONCE] if ends else now
        return len(self._counts) < self._room

    def _digest(self, name: str) -> int:
        digest = int.from_bytes(blake2b(name.encode(), key=self._key, digest_size=16).digest())
        return digest % self._room if self._shares else digest

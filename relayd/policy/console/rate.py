"""How many requests a key may make: a bucket that holds a minute's worth, and fills again evenly."""

import math
from dataclasses import dataclass

WINDOW = 60  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was decided about one request."""

    is_allowed: bool
    limit: int
    left: int  # requests that may follow at once
    wait: int  # seconds until one more may follow; 0: at once


class Rates:
    """The buckets of all keys that have a limit."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # of a key: what was left, and when

    def take(self, key_id: str, per_minute: int, *, now: float) -> Taken:
        """Take one request out of the bucket of a key, if there is one; `now` is monotonic, in seconds."""
        left, at = self._buckets.get(key_id, (float(per_minute), now))
        left = min(per_minute, left + (now - at) * per_minute / WINDOW)
        is_allowed = left >= 1
        left -= is_allowed
        self._buckets[key_id] = left, now
        wait = 0 if left >= 1 else math.ceil((1 - left) * WINDOW / per_minute)
        return Taken(is_allowed=is_allowed, limit=per_minute, left=int(left), wait=wait)

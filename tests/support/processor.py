"""How long work takes on the processor, as it would on a machine of a known speed that does nothing else.

A bound in seconds asks what the machine does besides: others use it, its clock is slower, coverage notes each line.
So nobody traces meanwhile, and what takes too long is measured again, beside a yardstick: the best counts.
"""

import gc
import re
import sys
import time
from collections.abc import Callable
from math import inf

_YARDSTICK = 0.0016  # seconds that the yardstick takes where the limits of the tests were set
_AGAIN = 3  # times that the time is taken before it counts
_GAPS = re.compile(r"a[ab]{0,60}c")
_GAPPY = "ab" * (1 << 13)


def took_by(work: Callable[[], object], limit: float) -> float:
    """Return the least of three times, in seconds: as long as it takes where nothing else runs.

    The first below the limit will do. A machine that is slow, or busy, is slow for the yardstick too.
    """
    least = inf
    before = 0.0
    for _ in range(_AGAIN):
        this = seconds(work)
        if this < limit:
            return min(least, this)
        after = seconds(_measure)
        slower = max(before or after, after, _YARDSTICK) / _YARDSTICK
        least = min(least, this / slower)
        if least < limit:
            break
        before = after
    return least


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes once, in seconds of this thread, on this machine as it is now."""
    gc.collect(0)  # not in between
    looking, began = sys.gettrace(), time.thread_time()
    sys.settrace(None)
    try:
        work()
    finally:
        sys.settrace(looking)
    return time.thread_time() - began


def _measure() -> None:
    """Do what the code under test does: follow a pattern, handle strings."""
    _GAPS.search(_GAPPY)
    " ".join(word.upper() for word in _GAPPY.split("a"))

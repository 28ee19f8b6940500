"""Times that slide: how many came within a minute, an hour or a day, counted in steps of a sixtieth.

In no such time comes more than is allowed, whatever it began with: a step counts while any of it is in the
time that ends now. Where the counts are kept is for those who count.
"""

from collections.abc import Iterable

STEPS = 60  # of a time
RING = STEPS + 1  # steps that count at once


def step_of(seconds: int, now: float) -> int:
    """Return the number of the step that an instant is in, of a time of so many seconds."""
    return int(now // (seconds / STEPS))


def room_of(
    counted: Iterable[tuple[int, int]], most: int, *, seconds: int, now: float
) -> tuple[int, float]:
    """Return how many more may come now, and from when on at least one, if that is 0.

    `counted` are steps with what came in them, in their order; some may be over.
    """
    oldest = step_of(seconds, now) - STEPS
    within = [each for each in counted if each[0] >= oldest]
    left, ends = most - sum(count for _, count in within), now
    if left > 0:
        return left, now
    ends += seconds / STEPS  # where nothing is allowed at all
    for step, count in within:
        if left > 0:
            break
        left, ends = left + count, (step + RING) * (seconds / STEPS)
    return 0, ends

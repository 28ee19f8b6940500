"""What the settings allow: an even rate, and how many messages an hour and a day.

A second and a minute are spread evenly, since servers count short times in ways of their own. An hour and
a day are counted: what is left of them may go at once. They slide, in steps of a sixtieth, so that in no such
time more goes than is allowed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_STEPS = 60  # of a time that slides
_TIMES = {"hour": 3600, "day": 86_400}  # seconds

Counts = Mapping[str, Sequence[tuple[int, int]]]
"""How many messages went in each step, by the number of the step, oldest first; of each time that is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """Messages that an account may send; 0: any number."""

    per_second: int = 0
    per_minute: int = 0
    per_hour: int = 0
    per_day: int = 0

    @property
    def are_set(self) -> bool:
        return self != AccountLimits()

    @property
    def rate(self) -> float:
        """Messages a second, evenly spread; 0: any number."""
        rates = [float(self.per_second), self.per_minute / 60]
        return min((rate for rate in rates if rate), default=0.0)

    @property
    def counted(self) -> Sequence[tuple[str, int]]:
        """The times that are counted, and how many messages each allows."""
        counted = ("hour", self.per_hour), ("day", self.per_day)
        return [each for each in counted if each[1]]


NO_LIMITS = AccountLimits()


def left_of(counts: Counts, name: str, most: int, now: float) -> tuple[int, float]:
    """Return how many messages may still go in a time, and when it has room again if that is none."""
    step = _TIMES[name] / _STEPS
    oldest = _oldest(step, now)
    within = [(number, used) for number, used in counts.get(name, ()) if number >= oldest]
    left = most - sum(used for _, used in within)
    if left > 0:
        return left, now
    ends = now + step  # where nothing is allowed at all
    for number, used in within:
        if left > 0:
            break
        left, ends = left + used, (number + _STEPS + 1) * step
    return 0, ends


def with_used(counts: Counts, names: Sequence[str], used: int, now: float) -> Counts:
    """Return the counts with so many messages more, and without what is over; `used` may be less than 0."""
    fresh: dict[str, list[tuple[int, int]]] = {}
    for name in names:
        step = _TIMES[name] / _STEPS
        this, oldest = int(now // step), _oldest(step, now)
        within = dict(each for each in counts.get(name, ()) if each[0] >= oldest)
        within[this] = max(0, within.get(this, 0) + used)
        fresh[name] = sorted(within.items())
    return fresh


def _oldest(step: float, now: float) -> int:
    """Return the first step that counts: any part of it is in the time that ends now."""
    return int(now // step) - _STEPS

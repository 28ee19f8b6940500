"""What the settings allow: an even rate, and how many messages an hour and a day.

A second and a minute are spread evenly, since servers count short times in ways of their own. An hour and
a day are counted: what is left of them may go at once. They slide, as `relayd.policy.sliding` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relayd.policy.sliding import STEPS, room_of, step_of

_TIMES = {"hour": 3600, "day": 86_400}  # seconds

Counts = Mapping[str, Sequence[tuple[int, int]]]
"""How many messages went in each step, by the number of the step, oldest first; of each time that is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """Messages that an account may send; 0: any number."""

    per_second: float = 0
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
    return room_of(counts.get(name, ()), most, seconds=_TIMES[name], now=now)


def with_used(counts: Counts, names: Sequence[str], used: int, now: float) -> Counts:
    """Return the counts with so many messages more, and without what is over; `used` may be less than 0."""
    fresh: dict[str, list[tuple[int, int]]] = {}
    for name in names:
        this = step_of(_TIMES[name], now)
        within = dict(each for each in counts.get(name, ()) if each[0] >= this - STEPS)
        within[this] = max(0, within.get(this, 0) + used)
        fresh[name] = sorted(within.items())
    return fresh

"""A site with a limit that it does not tell, and a queue that is sent there by what its replies show.

The site saves up one minute's worth, and every refusal costs standing: half a message of what comes next.
"""

import random  # noqa: TID251 -- seeded
from dataclasses import dataclass, field

from relayd.policy.pace import FREE, Saw, Seen, SiteState, may_begin, observe
from relayd.policy.went import Went
from tests.support.clock import START

DAY = 86_400.0
_BEGIN = START.timestamp()


@dataclass
class HiddenLimit:
    """A site that takes so many messages a minute."""

    limit: float
    _left: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._left = self.limit

    def change(self, limit: float) -> None:
        self.limit, self._left = limit, min(self._left, limit)

    def takes(self, now: float) -> bool:
        self._left = min(self.limit, self._left + (now - self._at) * self.limit / 60)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return True
        self._left = max(-self.limit, self._left - 0.5)
        return False


@dataclass
class Run:
    """One connection with mail for a site, by a clock of its own: a queue that never ends, or what comes in."""

    site: HiddenLimit
    answers_in: float = 0.2  # seconds, more or less
    comes: float = 0.0  # messages a minute at random; 0: there is always one
    changes: tuple[float, float] | None = None  # at which second the limit becomes another
    taken: int = 0
    refused: int = 0

    def send(self, seconds: float = DAY) -> "Run":
        chance = random.Random(1)
        state, went, now, last = FREE, Went(), 0.0, -DAY
        waiting, next_comes = 0, 0.0
        while now < seconds:
            if self.changes and now >= self.changes[0]:
                self.site.change(self.changes[1])
                self.changes = None
            if self.comes:
                now = now if waiting else max(now, next_comes)
                while next_comes <= now:
                    waiting += 1
                    next_comes += chance.expovariate(self.comes / 60)
            begins = self._begins(state, now, last)
            if begins > now:
                now = begins
                continue
            if self.site.takes(now):
                self.taken, waiting, last = self.taken + 1, waiting - 1, now
                went.note(now)
                seen = Seen(saw=Saw.ACCEPTED)
            else:
                self.refused += 1
                seen = Seen(saw=Saw.SLOW, went=went.rate(now))
            state = observe(state, seen, _BEGIN + now)
            now += self.answers_in * chance.uniform(0.5, 1.5)
        return self

    def _begins(self, state: SiteState, now: float, last: float) -> float:
        turn = may_begin(state, _BEGIN + now)
        if turn.until:
            return turn.until - _BEGIN
        return max(now, last + 60 / turn.rate) if turn.rate else now

    @property
    def refused_of_1000(self) -> float:
        return 1000 * self.refused / max(1, self.taken)

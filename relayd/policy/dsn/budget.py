"""How many reports may be mailed (S-54).

Owns the arithmetic. Who asks records and counts what was not mailed. One who forges a sender chooses
whom reports go to, so each cap is for what the forger cannot multiply: a box is one in all its
spellings and with all its tags, a domain one whatever is in front of it, a client one whatever it says
at MAIL. So no stranger gets more mail than the cap, however many messages and recipients fail (A-13).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from relayd.mail.mailbox import box_of, domain_of

_Key = tuple[str, str]  # what it is, and its name


@dataclass(frozen=True, slots=True, kw_only=True)
class DsnLimits:
    """As many reports, or mails that come back to a path of forwarded mail, may go at once; they are worked off evenly in `window`."""

    per_box: int
    per_domain: int
    per_client: int
    in_total: int
    window: timedelta


# A list of a hundred bad addresses, each in a message of its own, is told in full. A domain has twice
# that, for a forger has all of its boxes; a client half of all, so that it leaves the rest to others.
USUAL_LIMITS = DsnLimits(
    per_box=100, per_domain=200, per_client=500, in_total=1000, window=timedelta(hours=1)
)


class DsnBudget:
    """Reports mailed and not worked off. Holds what was mailed for two windows at most."""

    def __init__(self, limits: DsnLimits, *, now: datetime) -> None:
        self._limits = limits
        self._levels: dict[_Key, tuple[float, datetime]] = {}  # of an instant
        self._swept_at = self._seen = now
        self._unmailed: dict[str, int] = {}  # reports by box, since the last that was mailed

    def limit(self, limits: DsnLimits) -> None:
        """Mail no more than `limits` from now on; what was mailed counts."""
        self._limits = limits

    def may_mail(self, reverse_path: str, client: str, *, now: datetime) -> int | None:
        """Tell whether one more report may go to `reverse_path` on mail that `client` handed in.

        None: it may not. Else how many reports to that box were not mailed since the last that was.
        A clock that was set back costs the time it lost, nothing more.
        """
        self._follow(now)
        box = box_of(reverse_path)
        levels = [(key, self._level(key, now), cap) for key, cap in self._caps(box, client)]
        if any(level + 1 > cap for _, level, cap in levels):
            self._remember(box)
            return None
        self._levels |= {key: (level + 1, now) for key, level, _ in levels}
        return self._unmailed.pop(box, 0)

    def give_back(self, reverse_path: str, client: str, *, now: datetime) -> None:
        """Note that a report which was to be mailed is not, since its reader has heard of it."""
        self._follow(now)
        for key, _ in self._caps(box_of(reverse_path), client):
            self._levels[key] = (max(0.0, self._level(key, now) - 1), now)

    def _caps(self, box: str, client: str) -> Iterator[tuple[_Key, int]]:
        for kind, name in (("box", box), ("domain", domain_of(box)), ("client", client), ("", "")):
            yield (kind, name), self._cap(kind)

    def _cap(self, kind: str) -> int:
        limits = self._limits
        caps = {"box": limits.per_box, "domain": limits.per_domain, "client": limits.per_client}
        return caps.get(kind, limits.in_total)

    def _level(self, key: _Key, now: datetime) -> float:
        level, at = self._levels.get(key, (0.0, now))
        return max(0.0, level - (now - at) / self._limits.window * self._cap(key[0]))

    def _follow(self, now: datetime) -> None:
        """Forget what is worked off, once in a window, and keep up with a clock that was set back."""
        if now < self._seen:
            self._levels = {key: (self._level(key, self._seen), now) for key in self._levels}
            self._swept_at = now
        elif now - self._swept_at >= self._limits.window:
            levels = {key: (self._level(key, now), now) for key in self._levels}
            self._levels = {key: each for key, each in levels.items() if each[0] > 0}
            self._swept_at = now
        self._seen = now

    def _remember(self, box: str) -> None:
        """Count for as many boxes as reports are mailed; of more, the earliest are forgotten."""
        if box not in self._unmailed and len(self._unmailed) >= self._limits.in_total:
            del self._unmailed[next(iter(self._unmailed))]
        self._unmailed[box] = self._unmailed.get(box, 0) + 1

"""Which refusals of strangers have a line in the status log.

A stranger can be refused thousands of times a second, for nothing. A line for each fills the disk within
hours, and the queue lies there too. So each network has some at once and then one now and then, and all
of them together have no more than a disk can bear. The metrics count every refusal.
"""

_AT_ONCE = 100  # lines of one network: as many refusals as a session may have
_EVERY = 10.0  # seconds for each further one
_ALL_AT_ONCE = 1000  # lines of all together
_ALL_EVERY = 1.0  # seconds: at most 120 MB a day, since no line is longer than 1.4 KB
_MOST = 10_000  # networks that are remembered


class RefusalLines:
    """How many lines there were lately. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._worked_off: dict[str, float] = {}  # when, by network; who came last is at the end
        self._all_worked_off = 0.0

    def take(self, site: str, now: float) -> bool:
        """Tell whether a refusal of a client in the network `site` has a line."""
        ours, all_of_them = (
            max(now, self._worked_off.pop(site, now)),
            max(now, self._all_worked_off),
        )
        fits = ours - now <= (_AT_ONCE - 1) * _EVERY
        fits = fits and all_of_them - now <= (_ALL_AT_ONCE - 1) * _ALL_EVERY
        if fits:
            ours += _EVERY
            self._all_worked_off = all_of_them + _ALL_EVERY
        self._worked_off[site] = ours
        self._forget(now)
        return fits

    def _forget(self, now: float) -> None:
        """Drop those that came first, if theirs is worked off or there are too many."""
        while self._worked_off:
            oldest, worked_off = next(iter(self._worked_off.items()))
            if worked_off > now and len(self._worked_off) <= _MOST:
                return
            del self._worked_off[oldest]

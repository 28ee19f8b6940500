"""Instants as a table tells them: to people how long ago or how soon, to programs when."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from relayd.cli.table import TableOptions
from relayd.mail.words import instant

_UNITS = (("d", 86400, 2 * 86400), ("h", 3600, 2 * 3600), ("min", 60, 60), ("s", 1, 0))


@dataclass(frozen=True, slots=True)
class Times:
    """How the instants of one table are written: as ages at an instant, or, with None, as clocks show them."""

    at: datetime | None
    zone: tzinfo | None = None  # None: that of this machine

    def past(self, then: datetime | None) -> str:
        """Return when something was; empty if unknown."""
        return instant(then, self.zone) if self.at is None else ago(then, self.at)

    def coming(self, then: datetime | None) -> str:
        """Return when something is due; empty if unknown."""
        return instant(then, self.zone) if self.at is None else until(then, self.at)


def times_for(table: TableOptions) -> Times:
    """Return how the table that is printed now writes instants."""
    if table.utc:
        return Times(None, UTC)
    if not sys.stdout.isatty():
        return Times(None)
    return Times(table.at or datetime.now(UTC))  # noqa: TID251 -- a command's clock


def ago(then: datetime | None, at: datetime) -> str:
    """Return how long before `at` it was, such as `3 min ago`; empty if unknown. Never too much."""
    if then is None:
        return ""
    return f"{_length(max(int((at - then).total_seconds()), 0))} ago"


def until(then: datetime | None, at: datetime) -> str:
    """Return how soon after `at` it is, such as `in 15 min`; `due` if that is over; empty if unknown."""
    if then is None:
        return ""
    seconds = -int((at - then).total_seconds() // 1)
    return f"in {_length(seconds, up=True)}" if seconds > 0 else "due"


def _length(seconds: int, *, up: bool = False) -> str:
    """Return a length of time in one unit, rounded down, or `up`: 119 min, then 2 h; 47 h, then 2 d."""
    unit, size, _ = next(each for each in _UNITS if seconds >= each[2])
    return f"{(seconds + size - 1 if up else seconds) // size} {unit}"

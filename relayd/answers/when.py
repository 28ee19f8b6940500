"""Instants as people write and read them: in local time. JSON and CSV have UTC, and no part in this.

Days are those of the calendar, and begin at midnight. Where clocks are put back, a time of day comes
twice: a span that begins with it begins at the first, a span that ends with it ends at the second, so
that nothing is left out. Where clocks are put forward, a time that they pass over is the moment at
which they do: the day begins there if that is at midnight.

A zone is given by tests; None is the zone of this machine, or of TZ.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from relayd.mail.words import instant

FORMS = "7d, 12h, today, yesterday, monday, 08:00, 'monday 08:00', 2026-11-01, 2026-11-01T09:30:00Z"
"""Examples of what `parse_instant` reads, for help and for mistakes."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"([0-9]{1,18})([smhdw])")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WORDS = ("today", "yesterday", *_DAYS)
"""Words for days that `parse_instant` reads."""
_TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?")
_SECOND = timedelta(seconds=1)


def shown(at: datetime | None, zone: tzinfo | None = None) -> str:
    """Return an instant as every table and text has it: `2026-11-01 09:30:00+01:00`; empty if unknown."""
    return instant(at, zone)


def shown_text(at: object, zone: tzinfo | None = None) -> str:
    """The same for an instant as the status log has it; anything else as it is."""
    try:
        then = datetime.fromisoformat(str(at))
    except ValueError:
        return str(at)
    return str(at) if then.tzinfo is None else shown(then, zone)


def parse_instant(
    text: str, at: datetime, *, zone: tzinfo | None = None, is_end: bool = False
) -> datetime:
    """Read what a person wrote at the instant `at`; see FORMS. `is_end`: a span ends there.

    `7d` is that long before `at`. A weekday is the last one, today included. A time without a day is
    the last one that clocks showed; for an end, today's. What names no zone is local. Returns UTC.
    Raises ValueError, and OverflowError for what is before the calendar begins or behind its end.
    """
    words = text.strip().lower()
    if ago := _AGO.fullmatch(words):
        return at - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    today = at.astimezone(zone).date()
    day, _, rest = words.partition(" ")
    if _TIME.fullmatch(words):
        clock = _time(words)
        found = _utc(datetime.combine(today, clock), zone, is_end=is_end)
        if found <= at or is_end:
            return found
        return _utc(datetime.combine(today - timedelta(days=1), clock), zone, is_end=is_end)
    if (named := _day(day, today)) is not None:
        clock = _time(rest) if rest else time()
        return _utc(datetime.combine(named, clock), zone, is_end=is_end)
    written = datetime.fromisoformat(text.strip())
    if written.tzinfo is None:
        return _utc(written, zone, is_end=is_end)
    return written.astimezone(UTC)


def _day(word: str, today: date) -> date | None:
    if word in ("today", "yesterday"):
        return today - timedelta(days=word == "yesterday")
    if word in _DAYS:
        return today - timedelta(days=(today.weekday() - _DAYS.index(word)) % 7)
    return None


def _time(text: str) -> time:
    """Read `8:00` or `08:00:30`. Raises ValueError."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is no time of day")
    hour, minute, second = map(int, f"{text}:0".split(":")[:3])
    return time(hour, minute, second)


def _utc(local: datetime, zone: tzinfo | None, *, is_end: bool) -> datetime:
    """Return when clocks show `local`, as the rules above have it."""
    first, second = (
        datetime.fromtimestamp(local.replace(tzinfo=zone, fold=fold).timestamp(), UTC)
        for fold in (0, 1)
    )
    if first <= second:
        return second if is_end else first
    return _change(second, first, zone)


def _change(before: datetime, after: datetime, zone: tzinfo | None) -> datetime:
    """Return the moment between the two at which clocks are changed, which is a whole second."""
    before = before.replace(microsecond=0)
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = max(middle.replace(microsecond=0), before + _SECOND)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)

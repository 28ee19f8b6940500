"""Words, numbers, instants and lengths of time as pages show them.

Every word of a page passes `translated`: there is English only, and one place to change that. What others
wrote is shown with its controls and direction marks spelt out, so that it can neither hide nor forge words.
"""

import gettext
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime

from relayd.mail.text import is_shown

translated = gettext.NullTranslations().gettext
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_KILO = 1000
_SECONDS = 19  # characters of an instant, without its zone; `strftime` takes five times as long


def instant(at: datetime | None) -> str:
    """Return an instant in UTC, to the second: `2026-11-28 13:42:41Z`."""
    return "" if at is None else at.astimezone(UTC).isoformat(" ", "seconds")[:_SECONDS] + "Z"


def written(at: object) -> str:
    """Return an instant that the history has as text, as `instant` has it; anything else as it is."""
    try:
        return instant(datetime.fromisoformat(str(at)))
    except ValueError:
        return shown(at)


def iso(at: datetime) -> str:
    """Return an instant for the `datetime` of a time element."""
    return at.astimezone(UTC).isoformat("T", "seconds")[:_SECONDS] + "Z"


def length(seconds: float | None) -> str:
    """Return a length of time in its two largest units: `2 d 3 h`."""
    if seconds is None:
        return ""
    left = max(int(seconds), 0)
    for place, (size, unit) in enumerate(_UNITS, start=1):
        count, rest = divmod(left, size)
        if count and rest and place < len(_UNITS):
            smaller, its_unit = _UNITS[place]
            more = rest // smaller
            return f"{count} {unit} {more} {its_unit}" if more else f"{count} {unit}"
        if count:
            return f"{count} {unit}"
    return "0 s"


def ago(at: datetime | None, now: datetime) -> str:
    """Return how long ago an instant was, or in how long it will be."""
    if at is None:
        return ""
    seconds = (now - at).total_seconds()
    if seconds < 0:
        return translated("in {length}").format(length=length(-seconds))
    return translated("{length} ago").format(length=length(seconds))


def number(value: float) -> str:
    """Return a count with its thousands apart, or a rate with one digit below 10."""
    if type(value) is int:
        return f"{value:,}"
    if not float(value).is_integer():
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{int(value):,}"


def octets(count: int) -> str:
    """Return a size: `4.2 kB`."""
    if count < _KILO:
        return f"{count} B"
    size, units = count / _KILO, ["kB", "MB", "GB"]
    while size >= _KILO and len(units) > 1:
        size, units = size / _KILO, units[1:]
    return f"{size:.0f} {units[0]}" if size >= 100 else f"{size:.1f} {units[0]}"


def percent(part: float | None) -> str:
    return "" if part is None else f"{part * 100:.1f} %"


def command(words: Iterable[object]) -> str:
    """Return a command as a shell reads it, word by word."""
    return shlex.join(map(str, words))


def shown(text: object) -> str:
    """Return what somebody else wrote, with `<U+202E>` for each character that cannot be seen."""
    written = "" if text is None else str(text)
    if is_shown(written):
        return written
    return "".join(char if is_shown(char) else f"<U+{ord(char):04X}>" for char in written)

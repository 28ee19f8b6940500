"""Small pieces of HTML that rows of tables are made of: here, as a macro of a template takes ten times as long.

Every value is escaped, as in a template. An empty piece is false there.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from markupsafe import Markup

from relayd.console import text
from relayd.console.escaping import escaped, made

_MARKS: Mapping[str, str] = {
    "queued": "…",
    "deferred": "◷",
    "held": "‖",
    "relayed": "✓",
    "sent": "✓",
    "bounced": "✕",
    "late_bounced": "✕",
    "dropped": "\u2013",  # a dash
}
_NONE = Markup()
_ALL = '<input type="hidden" name="all" value="1">'
_BUTTONS = (
    f'<button name="action" value="expedite">{escaped(text.translated("Try now…"))}</button> '
    f'<button name="action" value="hold">{escaped(text.translated("Hold…"))}</button>'
)


class Times:
    """Instants as pages show them: in full, and how long ago they were."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def time(self, at: datetime | None) -> Markup:
        """The instant; the browser tells how long ago it was."""
        if at is None:
            return _NONE
        return _time(at, title=self.ago(at), shown=text.instant(at))

    def since(self, at: datetime | None) -> Markup:
        """How long ago it was; the browser tells the instant."""
        if at is None:
            return _NONE
        return _time(at, title=text.instant(at), shown=self.ago(at))

    def ago(self, at: datetime | None) -> str:
        return text.ago(at, self._now())


def _time(at: datetime, *, title: str, shown: str) -> Markup:
    return made(f'<time datetime="{text.iso(at)}" title="{escaped(title)}">{escaped(shown)}</time>')


@lru_cache(maxsize=64)
def status(word: str) -> Markup:
    """A status by its word and a mark, so that colour alone tells nothing."""
    mark, safe = _MARKS.get(word, "·"), escaped(word)
    return made(
        f'<span class="status {safe}"><span class="mark" aria-hidden="true">{mark}</span>{safe}</span>'
    )


def address(rcpt: str | None) -> Markup:
    """An address that leads to its page."""
    if not rcpt:
        return _NONE
    return made(
        f'<a class="address" href="/addresses/{escaped(quoted(rcpt))}">{escaped(text.shown(rcpt))}</a>'
    )


@lru_cache(maxsize=4096)  # most are small numbers, and 0
def cell(count: float, label: str) -> Markup:
    """A cell of a table with a number; `label` is the head of its column."""
    zero = "" if count else " zero"
    return made(
        f'<td class="number{zero}" data-label="{escaped(label)}">{escaped(text.number(count))}</td>'
    )


def quoted(value: str) -> str:
    """A value as part of a path, or of a query string. Source: RFC 3986 §3.3, §3.4: all may have `:` and `@`."""
    return quote(value, "/:@")


def act_on(destination: str, token: Markup) -> Markup:
    """Buttons for all that waits for a destination; `token` is the field that each form has."""
    back = escaped(f"?destination={quoted(destination)}&unfinished=1")
    return made(
        f'<form class="inline" method="post" action="/messages/act">{token}{_ALL}'
        f'<input type="hidden" name="back" value="{back}">{_BUTTONS}</form>'
    )


def field(name: str, value: str) -> Markup:
    """A field of a form that nobody sees."""
    return made(f'<input type="hidden" name="{escaped(name)}" value="{escaped(value)}">')

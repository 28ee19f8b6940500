"""The filters of a page: read from its query string, and told as a command line.

What cannot be read is a mistake that the page shows; such a page shows no mail, as a filter that is left out
silently would show too much. The text of the search box is taken for what it looks like.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from starlette.datastructures import QueryParams

from relayd.answers import when
from relayd.mail.ids import format_id, parse_id
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Place, Query, Status

_NUMBER = re.compile(r"-?[0-9]{1,10}")  # of a recipient in a place; -1 is ahead of all
_COUNT = re.compile(r"[0-9]{1,9}")
_DOMAIN = re.compile(r"@?[^@\s*]+\.[^@\s*]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a page is about."""

    query: Query
    given: Mapping[str, str]  # as written, by the names of the query string
    mistakes: Sequence[str]  # for people

    @property
    def command(self) -> Sequence[str]:
        """The words of the command that asks the same."""
        return ["relayd", "status", *_options(self.given)]


@dataclass(frozen=True, slots=True)
class _Filter:
    field: str
    read: Callable[[str], Any]
    is_one: bool = False  # a single value


def _address(text: str) -> str:
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _flag(text: str) -> bool:
    return text == "1"


_FILTERS: Mapping[str, _Filter] = {
    "recipient": _Filter("recipient", _address),
    "domain": _Filter("domain", lambda text: text.removeprefix("@")),
    "sender": _Filter("sender", _address),
    "message_id": _Filter("message_id_header", str),
    "tag": _Filter("tag", str),
    "status": _Filter("status", Status),
    "bounce_class": _Filter("bounce_class", BounceClass),
    "category": _Filter("category", Category),
    "user": _Filter("user", str),
    "client": _Filter("client", lambda text: ip_network(text, strict=False)),
    "destination": _Filter("destination", str),
    "possible_duplicate": _Filter("possible_duplicate", _flag, is_one=True),
    "unfinished": _Filter("unfinished", _flag, is_one=True),
}
_INSTANTS = ("since", "until")
NAMES = (*_FILTERS, *_INSTANTS)


def read_filters(params: QueryParams, now: datetime) -> Filters:
    """Read the filters of a query string; what is empty is not given."""
    given = {name: params[name].strip() for name in NAMES if params.get(name, "").strip()}
    fields: dict[str, Any] = {}
    mistakes = []
    for name, text in given.items():
        try:
            fields |= _read(name, text, now)
        except (ValueError, OverflowError):
            mistakes.append(_mistake(name, text))
    if text := params.get("q", "").strip():
        taken = next(iter(meanings(text)), None)
        if taken is None:
            mistakes.append(_mistake("q", text))
        else:
            name, value = taken
            given |= {name: value}
            fields |= _read(name, value, now)
    return Filters(query=Query(**fields), given=given, mistakes=mistakes)


def meanings(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a text of the search box may mean, the likeliest first: filter and value."""
    if text.startswith("<") and text.endswith(">") and "@" in text:
        yield "message_id", text
        yield "recipient", text[1:-1]
    elif "@" in text[1:] and not any(char in text for char in " *"):
        yield "recipient", text
        yield "sender", text
        yield "message_id", text
    elif _DOMAIN.fullmatch(text):
        yield "domain", text.removeprefix("@")


def queue_id_in(text: str) -> str | None:
    """Return the queue id that a text is; None if it is none."""
    try:
        return format_id(parse_id(text.strip()))
    except ValueError:
        return None


def read_place(text: str) -> Place | None:
    """Read where a page begins, `QUEUEID.NUMBER`; None if it is not one."""
    written, _, number = text.partition(".")
    if not _NUMBER.fullmatch(number):
        return None
    try:
        return parse_id(written), int(number)
    except ValueError:
        return None


def place_of(place: Place) -> str:
    """Return what `read_place` reads."""
    return f"{format_id(place[0])}.{place[1]}"


def read_count(text: str) -> int:
    """Read a number from 0 on; 0 if it is none, or has more digits than any of ours."""
    return int(text) if _COUNT.fullmatch(text) else 0


def with_field(query: Query, name: str, value: str) -> Query:
    """Return a query that asks for one value of a filter more."""
    chosen = _FILTERS[name]
    changes: dict[str, Any] = {chosen.field: (chosen.read(value),)}
    return replace(query, **changes)


def _read(name: str, text: str, now: datetime) -> dict[str, Any]:
    if name in _INSTANTS:
        return {name: when.parse_instant(text, now, zone=UTC, is_end=name == "until")}
    chosen = _FILTERS[name]
    value = chosen.read(text)
    return {chosen.field: value if chosen.is_one else (value,)}


def _mistake(name: str, text: str) -> str:
    if name in _INSTANTS:
        return f"{name}: {text!r} is none of {when.FORMS}"
    if name == "q":
        return f"{text!r} is no address, domain, queue id or <Message-ID>"
    return f"{name}: {text!r} is not one of its values"


def _options(given: Mapping[str, str]) -> Iterator[str]:
    for name, text in given.items():
        if name == "unfinished":
            continue
        yield f"--{name.replace('_', '-')}"
        if name != "possible_duplicate":
            yield text

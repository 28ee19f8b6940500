"""The filters that `status`, `addresses`, `queue` and `log` share, read into a `Query`.

An empty filter is refused: `--recipient ""`, as a script with an unset variable says it, must not
mean everybody.
"""

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from relayd.cli.context import now
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"([0-9]{1,6})([smhdw])")


def parse_instant(text: str, at: datetime) -> datetime:
    """Read `7d` (that long before `at`), `2026-11-01` or RFC 3339; UTC where no zone is given.

    Raises ValueError.
    """
    if ago := _AGO.fullmatch(text):
        try:
            return at - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError:
            raise ValueError("that long ago there was no calendar") from None
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


class InstantType(click.ParamType[datetime]):
    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_instant(value, now())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is none of 7d, 12h, 2026-11-01, 2026-11-01T09:30:00Z", param, ctx)


class FilterText(click.ParamType[str]):
    """Text to compare with: not empty, and Unicode."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text:
            self.fail("an empty filter selects nothing; leave it out instead", param, ctx)
        if not text.isprintable():
            self.fail(f"{text!r} is not printable text", param, ctx)
        return text


class AddressText(FilterText):
    """An address, with or without angle brackets; `<>` is the null reverse-path."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        return text[1:-1] if text.startswith("<") and text.endswith(">") else text


class DurationType(click.ParamType[timedelta]):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        from relayd.config import units  # noqa: PLC0415 -- brings pydantic

        try:
            return value if isinstance(value, timedelta) else units.duration(value)
        except ValueError as wrong:
            self.fail(str(wrong), param, ctx)


INSTANT = InstantType()
TEXT = FilterText()
ADDRESS = AddressText()

# Name of the option's parameter -> the field of Query, the type, the help.
_FILTERS: dict[str, tuple[str, click.ParamType[Any], str]] = {
    "recipient": ("recipient", ADDRESS, "The recipient's address."),
    "domain": ("domain", TEXT, "The recipient's domain."),
    "sender": ("sender", ADDRESS, "The reverse-path; '<>' for the null one."),
    "message_id": ("message_id_header", TEXT, "The Message-ID header."),
    "tag": ("tag", TEXT, "The X-Relayd-Tag of the message."),
    "status": ("status", click.Choice(Status, case_sensitive=False), "The status now."),
    "bounce_class": (
        "bounce_class",
        click.Choice(BounceClass, case_sensitive=False),
        "How it bounced.",
    ),
    "category": (
        "category",
        click.Choice(Category, case_sensitive=False),
        "Why it bounced or waits (docs/bounces.md).",
    ),
    "since": ("since", INSTANT, "Received at or after: 7d, 12h, 2026-11-01, or RFC 3339."),
    "until": ("until", INSTANT, "Received before."),
}
EVERY_FILTER = tuple(_FILTERS)


def takes_query(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the named filters as options; it gets them as one `query`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_query(*args: Any, **kwargs: Any) -> Any:
            given = {_FILTERS[name][0]: kwargs.pop(name) for name in names}
            return function(*args, query=Query(**given), **kwargs)

        for name in reversed(names):
            _, kind, text = _FILTERS[name]
            flag = f"--{name.replace('_', '-')}"
            # The list of categories is too long for a line of help.
            shown = "CATEGORY" if name == "category" else None
            option = click.option(flag, name, type=kind, metavar=shown, help=text)
            with_query = option(with_query)
        return with_query

    return decorate


limit_option = click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="At most N rows; 0 shows all. 100 by default, with --json all.",
)

"""The filters that all questions and verbs share, read into a `Query`.

A filter that is repeated means any of its values. A value that no mail can have is refused with what to
write instead, and above all an empty one: `--recipient ""`, as a script with an unset variable says it,
must not mean everybody.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import click

from relayd.answers import when
from relayd.cli.context import now
from relayd.cli.suggest import did_you_mean
from relayd.config.nearest import nearest
from relayd.mail.ids import parse_id
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status


class InstantType(click.ParamType[datetime]):
    """An instant, in local time where no zone is given."""

    name = "time"

    def __init__(self, *, is_end: bool = False) -> None:
        self._is_end = is_end  # of a span

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return when.parse_instant(value, now(), is_end=self._is_end)
        except OverflowError:
            self.fail(f"{value!r} is further away than the calendar goes", param, ctx)
        except ValueError:
            found = did_you_mean(nearest(str(value), when.WORDS))
            self.fail(f"{value!r} is none of {when.FORMS}.{found}", param, ctx)


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


@dataclass(frozen=True)
class WholeAddress(AddressText):
    """The whole address of a recipient or a sender, as mail has it."""

    advice: str  # what to write for more than one address
    may_be_null: bool = False

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if not text and self.may_be_null:
            return text
        local, at, domain = text.rpartition("@")
        if local in ("", "*") or not at or not domain or "*" in domain:
            self.fail(f"{text!r} is no whole address, LOCAL@DOMAIN. {self.advice}", param, ctx)
        return text


class DomainText(FilterText):
    """A whole domain, with or without an `@` before it."""

    name = "domain"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        domain = super().convert(value, param, ctx).removeprefix("@")
        domain = domain.removesuffix(".")  # as `dig` writes it; addresses have none
        if "@" in domain:
            self.fail(f"{domain!r} is an address: --recipient {domain}", param, ctx)
        if not domain or "*" in domain or domain.startswith(".") or " " in domain:
            self.fail(
                f"{domain!r} is no whole domain. There are no patterns: name each domain, "
                "as in --domain a.example.org --domain b.example.org",
                param,
                ctx,
            )
        return domain


class HeaderText(FilterText):
    """The value of a Message-ID, with or without angle brackets."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        with contextlib.suppress(ValueError):
            parse_id(text)
            self.fail(f"{text} is a queue id: relayd status show {text}", param, ctx)
        return text


class NetworkType(click.ParamType[IPv4Network | IPv6Network]):
    """An IP address, or a network."""

    name = "ip"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPv4Network | IPv6Network:
        try:
            return ip_network(str(value), strict=False)
        except ValueError:
            self.fail(f"{value!r} is no IP address or network, such as 192.0.2.0/24", param, ctx)


class DestinationText(FilterText):
    """A route key, a host or a domain, whole."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if "*" in text or "@" in text or " " in text:
            self.fail(
                f"{text!r} is no destination: a domain, a host, HOST:PORT, smarthost, or smarthost:NAME. "
                "There are no patterns",
                param,
                ctx,
            )
        return text


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


class DomainType(click.ParamType[str]):
    """A domain, as A-labels."""

    name = "domain"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from relayd.mail.dns import (  # noqa: PLC0415 -- brings idna, and a question for status needs none of it
            DomainError,
            a_labels,
        )

        try:
            return a_labels(str(value))
        except DomainError as wrong:
            self.fail(f"{value!r} is {wrong}", param, ctx)


SINCE = InstantType()
UNTIL = InstantType(is_end=True)
TEXT = FilterText()
ADDRESS = AddressText()
_RECIPIENT = WholeAddress("For all of a domain: --domain DOMAIN")
_SENDER = WholeAddress("Name each sender: --sender A --sender B", may_be_null=True)


@dataclass(frozen=True, slots=True)
class _Filter:
    """An option: the field of Query, the type of its values, and what the help says."""

    field: str
    type: click.ParamType[Any]
    help: str
    metavar: str | None = None
    is_flag: bool = False

    def option(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        flag = f"--{name.replace('_', '-')}"
        if self.is_flag:
            return click.option(flag, name, is_flag=True, help=self.help)
        is_instant = isinstance(self.type, InstantType)
        return click.option(
            flag,
            name,
            type=self.type,
            metavar=self.metavar,
            help=self.help,
            multiple=not is_instant,
        )


# By the name of the option's parameter.
_FILTERS: Mapping[str, _Filter] = {
    "recipient": _Filter("recipient", _RECIPIENT, "The recipient's address."),
    "domain": _Filter("domain", DomainText(), "The recipient's domain."),
    "sender": _Filter("sender", _SENDER, "The reverse-path; '<>' for the null one."),
    "message_id": _Filter("message_id_header", HeaderText(), "The Message-ID header."),
    "tag": _Filter("tag", TEXT, "The X-Relayd-Tag of the message."),
    "status": _Filter("status", click.Choice(Status, case_sensitive=False), "The status now."),
    "bounce_class": _Filter(
        "bounce_class", click.Choice(BounceClass, case_sensitive=False), "How it bounced."
    ),
    "category": _Filter(
        "category",
        click.Choice(Category, case_sensitive=False),
        "Why it bounced or waits (docs/bounces.md).",
        metavar="CATEGORY",  # the list is too long for a line of help
    ),
    "user": _Filter("user", TEXT, "The name that the client logged in as."),
    "client": _Filter("client", NetworkType(), "The client's address, or a network."),
    "destination": _Filter(
        "destination",
        DestinationText(),
        "Where it goes: domain, host, HOST:PORT, smarthost or smarthost:NAME.",
    ),
    "possible_duplicate": _Filter(
        "possible_duplicate",
        click.BOOL,
        "Only what may have arrived more than once.",
        is_flag=True,
    ),
    "changed_since": _Filter(
        "changed_since", SINCE, "Something became of it at or after; as --since."
    ),
    "since": _Filter(
        "since", SINCE, "Received at or after: 7d, monday, 08:00, 2026-11-01 or RFC 3339."
    ),
    "until": _Filter("until", UNTIL, "Received before."),
}
EVERY_FILTER = tuple(_FILTERS)


def takes_query(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the named filters as options; it gets them as one `query`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_query(*args: Any, **kwargs: Any) -> Any:
            query = Query(**{_FILTERS[name].field: kwargs.pop(name) for name in names})
            if query.since is not None and query.until is not None and query.until <= query.since:
                raise click.UsageError(
                    f"Nothing lies between --since {when.shown(query.since)}"
                    f" and --until {when.shown(query.until)}."
                )
            return function(*args, query=query, **kwargs)

        command: Callable[..., Any] = with_query
        for name in reversed(names):
            command = _FILTERS[name].option(name)(command)
        return command

    return decorate


limit_option = click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="At most N rows; 0 shows all. 100 by default, with --json all.",
)

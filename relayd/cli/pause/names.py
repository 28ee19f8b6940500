"""Whose mail is meant: the options that name senders, tags, users, domains and destinations."""

from collections.abc import Callable, Iterator
from typing import Any

import click

from relayd.cli.filters import ADDRESS, TEXT
from relayd.mail.account import AccountError, parse_name
from relayd.mail.address import PathError, parse_address
from relayd.mail.pause import Named, Scope, Side
from relayd.policy.delivery.route import HOLD, TlsAsked, smarthost_of

_DESTINATIONS = (*(each.value for each in TlsAsked), "host:")


class Pattern(click.ParamType[str]):
    """A text that some mail can have: a name that fits nothing would be a pause that stops nothing."""

    name = "text"

    def __init__(self, kind: click.ParamType[str], check: Callable[[str], str]) -> None:
        """`check` returns what was expected, empty if the text is that."""
        self._kind = kind
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text: str = self._kind.convert(value, param, ctx)
        if expected := self._check(text):
            self.fail(f"{text!r}: expected {expected}", param, ctx)
        return text


def _sender(text: str) -> str:
    fits = not text or _is_address(text)
    return "" if fits else "an address such as app@example.org, or '<>'"


def _domain(text: str) -> str:
    fits = "@" not in text and _is_address(f"x@{text}")
    return "" if fits else "a domain such as example.org, without @ or *"


def _is_address(text: str) -> bool:
    """Tell whether it is one; an asterisk was meant to be a pattern."""
    try:
        parse_address(text)
    except PathError:
        return False
    return "*" not in text


def _user(text: str) -> str:
    try:
        parse_name(text)
    except AccountError:
        return "the name of a login, as `relayd user list` shows it"
    return ""


def _destination(text: str) -> str:
    is_other = text.startswith(_DESTINATIONS) and not text.endswith(":")
    if is_other or text == HOLD or smarthost_of(text) is not None:
        return ""
    expected = "smarthost, smarthost:NAME, mx:DOMAIN or host:HOST:PORT, as `relayd top` shows it"
    host, _, port = text.rpartition(":")
    if host and port.isdecimal():
        return f"{expected}; here host:{text}"
    if not _domain(text) and "." in text:
        return f"{expected}; all mail to a domain is --domain {text}"
    return expected


_OPTIONS: tuple[tuple[Scope, click.ParamType[str], str], ...] = (
    (Scope.SENDER, Pattern(ADDRESS, _sender), "Mail of this reverse-path; '<>' for the null one."),
    (Scope.TAG, TEXT, "Mail with this X-Relayd-Tag."),
    (Scope.USER, Pattern(TEXT, _user), "Mail of this login."),
    (Scope.DOMAIN, Pattern(TEXT, _domain), "Mail to this domain."),
    (
        Scope.DESTINATION,
        Pattern(TEXT, _destination),
        "Mail for this destination: smarthost, smarthost:NAME, mx:DOMAIN, host:HOST:PORT.",
    ),
)


def takes_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; each may be given several times."""
    for scope, kind, text in reversed(_OPTIONS):
        function = click.option(
            f"--{scope}", scope.value, type=kind, multiple=True, metavar="NAME", help=text
        )(function)
    return function


def names_in(given: dict[str, Any]) -> list[Named]:
    """Return what those options name."""
    return [Named(scope, value) for scope, _, _ in _OPTIONS for value in given[scope.value]]


def takes_sides(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --intake and --delivery."""
    for side, text in (
        (Side.DELIVERY, "Mail is taken and waits: no attempt is made for it."),
        (Side.INTAKE, "Mail is not taken: clients are told to try again later (450)."),
    ):
        function = click.option(f"--{side}", side.value, is_flag=True, help=text)(function)
    return function


def sides_in(given: dict[str, Any], *, default: frozenset[Side]) -> frozenset[Side]:
    """Return the sides that were named; without one, `default`."""
    return frozenset(_named(given)) or default


def _named(given: dict[str, Any]) -> Iterator[Side]:
    for side in Side:
        if given[side.value]:
            yield side

"""`relayd console webhook`: which applications are told what happens to mail."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import click

from relayd.answers.webhooks import ENDPOINT_FIELDS, endpoint_fields, state_of
from relayd.cli.ages import Times
from relayd.cli.completing import complete_webhooks
from relayd.cli.console.asking import ListType, ask, tell
from relayd.cli.console.listing import Listing
from relayd.cli.context import NoSuch, json_option, now, open_view, settings_option
from relayd.cli.group import Group
from relayd.cli.output import Form, printable, show_json
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.control.webhooks import about_to_json, change_to_json, put_to_json
from relayd.mail.account import parse_sender
from relayd.mail.words import EventKind
from relayd.ports.outbox import TOLD, Endpoint, EndpointId, Subscription, SubscriptionChange

F = TypeVar("F", bound=Callable[..., Any])
_COLUMNS = (
    Column(title="WEBHOOK", whole=True),
    Column(title="URL", least=16),
    Column(title="EVENTS", least=8, goes=1),
    Column(title="STATE", least=8),
    Column(title="LAST OK", whole=True, goes=2),
    Column(title="WAITING", whole=True),
    Column(title="FAILED", whole=True, goes=3),
)
_SECRET = "the receiver needs this secret to verify who sends; it is not shown again"  # noqa: S105

which = click.argument("which", metavar="WEBHOOK", type=int, shell_complete=complete_webhooks)


def _kind(text: str) -> EventKind:
    if text not in TOLD:
        raise ValueError(f"{text!r} is not one of {', '.join(TOLD)}")
    return EventKind(text)


def _filters(function: F) -> F:
    for option in (
        click.option(
            "--tags",
            type=ListType("tags", str),
            metavar="A,B",
            help="Only mail with one of these tags.",
        ),
        click.option(
            "--senders",
            type=ListType("senders", parse_sender),
            metavar="A,@DOMAIN",
            help="Only mail of these senders.",
        ),
        click.option(
            "--events",
            type=ListType("events", _kind),
            metavar="A,B",
            help=f"What it is told: {', '.join(TOLD)}; all by default.",
        ),
    ):
        function = option(function)
    return function


@click.group(cls=Group)
@settings_option()
def webhook() -> None:
    """Tell applications what happens to mail, by HTTPS; `relayd console` sends it."""


@webhook.command()
@click.argument("url")
@_filters
@json_option
@settings_option()
def add(
    url: str,
    *,
    events: Sequence[EventKind] | None,
    senders: Sequence[str] | None,
    tags: Sequence[str] | None,
    as_json: bool,
) -> None:
    """Add a webhook, and print its secret.

    It is told what happens from now on. The secret is shown only this once: the receiver verifies with it that
    relayd sends, and `rotate` makes a new one.
    """
    wanted = Subscription(
        url=url, kinds=tuple(events or TOLD), senders=tuple(senders or ()), tags=tuple(tags or ())
    )
    reply = ask(put_to_json(wanted), otherwise="it was not added")
    _say_secret(reply, EndpointId(reply["endpoint"]), as_json=as_json, done="added")


@webhook.command("set")
@which
@click.option("--url", help="Where it leads to.")
@_filters
@click.option("--enable/--disable", "is_on", default=None, help="Whether anything is sent.")
@json_option
@settings_option()
def set_(
    which: int,
    *,
    url: str | None,
    events: Sequence[EventKind] | None,
    senders: Sequence[str] | None,
    tags: Sequence[str] | None,
    is_on: bool | None,
    as_json: bool,
) -> None:
    """Change a webhook. An empty list, such as `--tags ''`, takes a filter away.

    While it is disabled, what it would be told waits, for as long as the history is kept.
    """
    change = SubscriptionChange(
        url=url,
        kinds=events if events is None else tuple(events or TOLD),
        senders=senders if senders is None else tuple(senders),
        tags=tags if tags is None else tuple(tags),
        is_on=is_on,
    )
    if change == SubscriptionChange():
        raise click.UsageError("Say what is to change: --url, --events, --enable ...")
    ask(change_to_json(change, EndpointId(which)), otherwise=no_webhook(which))
    tell("changed", str(which), as_json=as_json)


@webhook.command()
@which
@json_option
@settings_option()
def remove(which: int, *, as_json: bool) -> None:
    """Remove a webhook, with all that it would be told."""
    ask(about_to_json("endpoint.drop", EndpointId(which)), otherwise=no_webhook(which))
    tell("removed", str(which), as_json=as_json)


@webhook.command()
@which
@json_option
@settings_option()
def rotate(which: int, *, as_json: bool) -> None:
    """Make a new secret, and print it. For 24 hours the last three before sign too."""
    reply = ask(about_to_json("endpoint.rotate", EndpointId(which)), otherwise=no_webhook(which))
    _say_secret(reply, EndpointId(which), as_json=as_json, done="rotated")


@webhook.command("list")
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
def list_webhooks(*, form: Form, table: TableOptions) -> int:
    """Show the webhooks, how each does, and what waits."""
    with open_view() as view:
        found = view.outbox.endpoints()
    listing = Listing(
        columns=_COLUMNS,
        cells=partial(_cells, at=now()),
        names=ENDPOINT_FIELDS,
        fields=endpoint_fields,
        none="there are no webhooks",
    )
    return listing.show(found, form, table)


@webhook.command()
@which
@json_option
@settings_option()
def show(which: int, *, as_json: bool) -> None:
    """Show all that is known of a webhook, but for its secret."""
    fields = endpoint_fields(find(which))
    if as_json:
        show_json(fields)
        return
    for name, value in fields.items():
        if value not in (None, []):
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(printable(f"{name.replace('_', ' '):<18} {text}"))


def find(number: int) -> Endpoint:
    """Return a webhook. Raises NoSuch."""
    with open_view() as view:
        found = view.outbox.endpoints()
    one = next((each for each in found if each.id == number), None)
    if one is None:
        raise NoSuch(no_webhook(number))
    return one


def no_webhook(number: int) -> str:
    return f"there is no webhook {number}: relayd console webhook list"


def _say_secret(reply: dict[str, Any], endpoint: EndpointId, *, as_json: bool, done: str) -> None:
    if as_json:
        show_json({"webhook": endpoint, "action": done, "secret": reply["secret"]})
        return
    click.echo(reply["secret"])
    click.echo(f"relayd: {done} webhook {endpoint}; {_SECRET}", err=True)


def _cells(each: Endpoint, times: Times, *, at: datetime) -> tuple[str, ...]:
    kinds = each.wanted.kinds
    return (
        str(each.id),
        each.wanted.url,
        "all" if set(kinds) == set(TOLD) else ", ".join(kinds),
        state_of(each, at),
        times.past(each.last_ok_at) or "never",
        str(each.waiting),
        str(each.failed),
    )

"""`relayd queue`: list what waits, and the operator's verbs on it.

Lists from the store; changes go through the daemon's control socket, for the command never writes
the store itself (F-21). A verb needs a selector: ids, filters, or an explicit `--all`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from relayd.cli.context import (
    NoSuch,
    json_option,
    load_settings,
    open_view,
    settings_option,
)
from relayd.cli.filters import EVERY_FILTER, limit_option, takes_query
from relayd.cli.listing import COLUMNS, list_recipients
from relayd.cli.output import show_json, show_table
from relayd.cli.table import TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.control import client
from relayd.control.protocol import ActRequest, event_to_json, selects_everything
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.mail.operator import Action
from relayd.ports.view import Query

_PAST = {
    Action.HOLD: "held",
    Action.RELEASE: "released",
    Action.EXPEDITE: "expedited",
    Action.BOUNCE: "bounced",
    Action.DROP: "dropped",
}
_ENDS_MAIL = (Action.BOUNCE, Action.DROP)


class QueueIdType(click.ParamType[MessageId]):
    name = "id"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> MessageId:
        try:
            return parse_id(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
@settings_option()
def queue() -> None:
    """List queued mail and act on it. A SELECTOR is a queue id or a filter of `relayd status`."""


def _selector(function: Callable[..., Any]) -> Callable[..., Any]:
    ids = click.argument("ids", metavar="[ID]...", nargs=-1, type=QueueIdType())
    return ids(takes_query(*EVERY_FILTER)(json_option(settings_option()(function))))


@queue.command(name="list")
@_selector
@limit_option
@takes_table_options(COLUMNS)
def list_(
    *,
    ids: tuple[MessageId, ...],
    query: Query,
    limit: int | None,
    table: TableOptions,
    as_json: bool,
) -> None:
    """Show what is queued, deferred or held."""
    with open_view() as view:
        for one in _queries(ids, replace(query, unfinished=True)):
            list_recipients(view, one, limit=limit, as_json=as_json, table=table)


def _queries(ids: Sequence[MessageId], query: Query) -> list[Query]:
    return [replace(query, message_id=one) for one in ids] or [query]


def _add_verb(action: Action, text: str) -> None:
    @queue.command(name=action.value, help=text)
    @_selector
    @click.option("--reason", default="", help="Why, for the history.")
    @click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
    @click.option(
        "--yes",
        is_flag=True,
        hidden=action not in _ENDS_MAIL,
        help="With --all: yes, all of it.",
    )
    def verb(
        *,
        ids: tuple[MessageId, ...],
        query: Query,
        reason: str,
        everything: bool,
        yes: bool,
        as_json: bool,
    ) -> None:
        _check_selector(action, ids, query, everything=everything, yes=yes)
        queries = _queries(ids, replace(query, unfinished=True))
        socket = load_settings().control_socket
        changed: list[Event] = []
        for one in queries:
            request = ActRequest(query=one, action=action, reason=reason, everything=everything)
            changed.extend(client.act(socket, request))
        _tell(action, changed, as_json=as_json)
        missed = set(ids) - {event.message_id for event in changed}
        if missed:
            names = ", ".join(sorted(format_id(one) for one in missed))
            raise NoSuch(f"nothing to {action} in {names} (see relayd status show)")


def _check_selector(
    action: Action, ids: Sequence[MessageId], query: Query, *, everything: bool, yes: bool
) -> None:
    selected = bool(ids) or not selects_everything(query)
    if everything and selected:
        raise click.UsageError("--all does not go with a selector.")
    if not everything and not selected:
        hint = "--all --yes" if action in _ENDS_MAIL else "--all"
        raise click.UsageError(f"Say which mail: an ID, a filter such as --domain, or {hint}.")
    if everything and action in _ENDS_MAIL and not yes:
        raise click.UsageError(f"--all would {action} the whole queue: add --yes if you mean it.")


def _tell(action: Action, changed: Sequence[Event], *, as_json: bool) -> None:
    """List what was changed."""
    if as_json:
        for event in changed:
            show_json(event_to_json(event))
        return
    count = len(changed)
    click.echo(f"{_PAST[action]} {count} recipient{'' if count == 1 else 's'}")
    if changed:
        show_table(("ID", "RECIPIENT"), map(_cells, changed))


def _cells(event: Event) -> tuple[str, str]:
    subject = event.subject
    return format_id(
        event.message_id
    ), f"#{event.recipient}" if subject is None else subject.address


_add_verb(Action.HOLD, "Make no attempt for mail until it is released.")
_add_verb(Action.RELEASE, "Release held mail: it is due at once.")
_add_verb(Action.EXPEDITE, "Make an attempt for waiting mail now.")
_add_verb(Action.BOUNCE, "Give up mail: its status is bounced, and its sender gets a report.")
_add_verb(Action.DROP, "Delete mail: its sender gets no report.")

"""Which mail a verb of `relayd queue` is about: queue ids, filters, or both."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click
from click.shell_completion import CompletionItem

from relayd.cli.completing import complete_ids
from relayd.cli.context import settings_option
from relayd.cli.filters import EVERY_FILTER, takes_query
from relayd.mail.ids import MessageId, parse_id
from relayd.ports.view import Query


class QueueIdType(click.ParamType[MessageId]):
    name = "id"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> MessageId:
        try:
            return parse_id(str(value))
        except ValueError as error:
            told = (
                f"{error}. For a Message-ID: --message-id {shlex.quote(str(value))}"
                if "@" in str(value)
                else error
            )
            self.fail(str(told), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        return complete_ids(ctx, param, incomplete)


def selector(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `ids`, `query` and -c."""
    ids = click.argument("ids", metavar="[ID]...", nargs=-1, type=QueueIdType())
    return ids(takes_query(*EVERY_FILTER)(settings_option()(function)))


def queries(ids: Sequence[MessageId], query: Query) -> list[Query]:
    """Return what selects the mail: one for each id."""
    return [replace(query, message_id=one) for one in ids] or [query]

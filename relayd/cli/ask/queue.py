"""`relayd queue`: list what waits, and the operator's verbs on it.

Lists from the store; changes go through the daemon's control socket, for the command never writes
the store itself (F-21). A verb needs a selector: ids, filters, or an explicit `--all`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import click

from relayd.cli.ask.acting import How, Part, act, check_selector, takes_how
from relayd.cli.ask.cat import cat
from relayd.cli.ask.requeue import requeue
from relayd.cli.ask.selector import queries, selector
from relayd.cli.asked_daemon import daemon_socket
from relayd.cli.context import named_settings_file, open_view, settings_option
from relayd.cli.filters import limit_option
from relayd.cli.group import Group
from relayd.cli.listing import COLUMNS, list_recipients, nothing_found
from relayd.cli.notices import show_notices
from relayd.cli.output import Form, say_empty
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.mail.event import Event
from relayd.mail.ids import MessageId
from relayd.mail.operator import Action
from relayd.ports.view import Place, Query, QueueView
from relayd.ports.waiting import By

_PAST = {
    Action.HOLD: "held",
    Action.RELEASE: "released",
    Action.EXPEDITE: "expedited",
    Action.BOUNCE: "bounced",
    Action.DROP: "dropped",
}
_ENDS_MAIL = (Action.BOUNCE, Action.DROP)


@click.group(cls=Group)
@settings_option()
def queue() -> None:
    """List mail that waits, and act on it: hold it, send it now or again, give it up, delete or read it.

    Which mail is said by queue ids, or by the filters of `relayd status`.
    """


@queue.command(name="list")
@selector
@limit_option
@takes_row_options
@takes_table_options(COLUMNS)
@click.option(
    "--by",
    type=click.Choice(By, case_sensitive=False),
    help="Count it instead: one row for each value, those with most mail first.",
)
def list_(
    *,
    by: By | None,
    ids: tuple[MessageId, ...],
    query: Query,
    limit: int | None,
    table: TableOptions,
    form: Form,
) -> int:
    """Show what is queued, deferred or held."""
    wanted = queries(ids, replace(query, unfinished=True))
    with open_view() as view:
        show_notices(view, named_settings_file(), table.zone)
        if by is not None:
            return _list_by(view, by, ids, query, limit=limit, form=form, table=table)
        count = list_recipients(view, wanted, limit=limit, form=form, table=table)
    if not count:
        say_empty(nothing_found(wanted[0]))
    return count


def _list_by(
    view: QueueView,
    by: By,
    ids: Sequence[MessageId],
    query: Query,
    *,
    limit: int | None,
    form: Form,
    table: TableOptions,
) -> int:
    from relayd.cli.ask.by import list_groups  # noqa: PLC0415 -- for this option alone

    if ids:
        raise click.UsageError("--by counts what filters select, and no IDs.")
    if table.columns is not None:
        raise click.UsageError("--columns is for the table without --by.")
    count = list_groups(view, query, by, limit=limit, form=form, table=table)
    if not count:
        say_empty(nothing_found(replace(query, unfinished=True)))
    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """An operator's verb on mail that waits."""

    action: Action
    reason: str
    everything: bool
    socket: str
    at_once: ClassVar[int] = 5000
    titles: ClassVar[Sequence[str]] = ()

    @property
    def name(self) -> str:
        return self.action.value

    @property
    def past(self) -> str:
        return _PAST[self.action]

    def ask(
        self, query: Query, *, dry_run: bool, limit: int | None = None, before: Place | None = None
    ) -> Part:
        from relayd.control import client  # noqa: PLC0415 -- a list needs none of it
        from relayd.control.acts import ActRequest  # noqa: PLC0415 -- as above

        request = ActRequest(
            query=query,
            action=self.action,
            reason=self.reason,
            everything=self.everything,
            dry_run=dry_run,
            limit=limit,
            before=before,
        )
        told = client.act(self.socket, request)
        counts = {"matched": told.matched, "changed": told.changed}
        if dry_run:
            counts["last_retry"] = told.last_retry
        return Part(counts=counts, events=told.events, targets=told.targets, more=told.more)

    def warning(self, foreseen: Mapping[str, int]) -> str:
        """Tell before an attempt is asked for how many recipients are at their last one."""
        count = foreseen["last_retry"]
        if self.action not in (Action.EXPEDITE, Action.RELEASE) or not count:
            return ""
        return (
            f"{count} of these {'has' if count == 1 else 'have'} used their last retry and would bounce"
            " at the next failure for now; the attempt that follows now does not count, and ends none of"
            " them"
        )

    def left_alone(self, counts: Mapping[str, int]) -> str:
        left = counts["matched"] - counts["changed"]
        return f"; {left} that match {'is' if left == 1 else 'are'} left alone" if left else ""

    def cells(self, event: Event) -> Sequence[str]:  # noqa: ARG002
        return ()


def _add_verb(action: Action, text: str) -> None:
    @queue.command(name=action.value, help=text)
    @selector
    @click.option("--reason", default="", help="Why, for the history.")
    @click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
    @takes_how
    def verb(
        *,
        ids: tuple[MessageId, ...],
        query: Query,
        reason: str,
        everything: bool,
        how: How,
    ) -> None:
        hint = "--all --yes" if action in _ENDS_MAIL else "--all"
        check_selector(ids, query, everything=everything, example="--domain", all_=hint)
        if everything and action in _ENDS_MAIL and not (how.yes or how.dry_run):
            raise click.UsageError(
                f"--all would {action} the whole queue: add --yes if you mean it."
            )
        socket = daemon_socket()
        wanted = _Act(action=action, reason=reason, everything=everything, socket=socket)
        act(wanted, ids, queries(ids, replace(query, unfinished=True)), how)


_add_verb(Action.HOLD, "Make no attempt for mail until it is released.")
_add_verb(Action.RELEASE, "Release held mail: it is due at once.")
_add_verb(Action.EXPEDITE, "Make an attempt for waiting mail now.")
_add_verb(Action.BOUNCE, "Give up mail: its status is bounced, and its sender gets a report.")
_add_verb(Action.DROP, "Delete mail: its sender gets no report.")
queue.add_command(requeue)
queue.add_command(cat)

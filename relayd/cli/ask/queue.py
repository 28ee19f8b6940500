"""`relayd queue`: list what waits, and the operator's verbs on it.

Lists from the store; changes go through the daemon's control socket, for the command never writes
the store itself (F-21). A verb needs a selector: ids, filters, or an explicit `--all`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import click

from relayd.cli.ask.cat import cat
from relayd.cli.ask.requeue import requeue
from relayd.cli.ask.selector import queries, selector
from relayd.cli.confirm import confirm, dry_run_option, recipients, yes_option
from relayd.cli.context import (
    NoSuch,
    json_option,
    load_settings,
    named_settings_file,
    open_view,
    settings_option,
)
from relayd.cli.filters import limit_option
from relayd.cli.group import Group
from relayd.cli.listing import COLUMNS, list_recipients, nothing_found
from relayd.cli.notices import show_notices
from relayd.cli.output import Form, say_empty, show_json, show_table
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.control import client
from relayd.control.acts import ActAnswer, ActRequest
from relayd.control.protocol import event_to_json, selects_everything
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, format_id
from relayd.mail.operator import Action
from relayd.ports.view import Query, QueueView
from relayd.ports.waiting import By

_PAST = {
    Action.HOLD: "held",
    Action.RELEASE: "released",
    Action.EXPEDITE: "expedited",
    Action.BOUNCE: "bounced",
    Action.DROP: "dropped",
}
_ENDS_MAIL = (Action.BOUNCE, Action.DROP)
_AT_ONCE = 5000  # recipients in one transaction: others write in between


@click.group(cls=Group)
@settings_option()
def queue() -> None:
    """List mail that waits, and act on it: hold it, send it now or again, give it up, delete it.

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
        show_notices(view, named_settings_file())
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


def _add_verb(action: Action, text: str) -> None:
    @queue.command(name=action.value, help=text)
    @selector
    @json_option
    @click.option("--reason", default="", help="Why, for the history.")
    @click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
    @dry_run_option
    @yes_option
    @click.option("--list", "listed", is_flag=True, help="Show each recipient that was changed.")
    def verb(
        *,
        ids: tuple[MessageId, ...],
        query: Query,
        reason: str,
        everything: bool,
        dry_run: bool,
        yes: bool,
        listed: bool,
        as_json: bool,
    ) -> None:
        _check_selector(action, ids, query, everything=everything, yes=yes or dry_run)
        socket = load_settings().control_socket
        requests = [
            ActRequest(query=one, action=action, reason=reason, everything=everything)
            for one in queries(ids, replace(query, unfinished=True))
        ]
        foreseen = _foresee(socket, requests)
        _warn(action, foreseen)
        if dry_run:
            _tell(action, foreseen, as_json=as_json, dry_run=True)
            return
        confirm(f"{action} {recipients(foreseen.changed)}", foreseen.changed, yes=yes)
        changed = _carry_out(socket, requests, listed=listed, as_json=as_json)
        missed = sorted(set(ids) - changed)
        if missed:
            names = ", ".join(format_id(one) for one in missed)
            raise NoSuch(f"nothing to {action} in {names} (see relayd status show)")


def _foresee(socket: str, requests: Sequence[ActRequest]) -> ActAnswer:
    """Return how much all of the requests would change."""
    answers = [client.act(socket, replace(one, dry_run=True)) for one in requests]
    return ActAnswer(
        matched=sum(one.matched for one in answers),
        changed=sum(one.changed for one in answers),
        last_retry=sum(one.last_retry for one in answers),
    )


@dataclass(slots=True)
class _Done:
    """What was carried out so far."""

    answers: int = 0
    matched: int = 0
    changed: int = 0
    messages: set[MessageId] = field(default_factory=set)


def _carry_out(
    socket: str, requests: Sequence[ActRequest], *, listed: bool, as_json: bool
) -> set[MessageId]:
    """Have the requests carried out; print the count last, also of a part. Return the messages."""
    done = _Done()
    events = _events(socket, requests, done)
    try:
        if listed and not as_json:
            show_table(("ID", "RECIPIENT"), map(_cells, events))
        for event in events:
            if listed:
                show_json(event_to_json(event))
    finally:
        if done.answers:
            counts = ActAnswer(matched=done.matched, changed=done.changed)
            _tell(requests[0].action, counts, as_json=as_json)
    return done.messages


def _events(socket: str, requests: Sequence[ActRequest], done: _Done) -> Iterator[Event]:
    """Carry out the requests a part at a time; yield what was changed."""
    for one in requests:
        request = replace(one, limit=_AT_ONCE)
        while True:
            answer = client.act(socket, request)
            done.answers += 1
            done.matched += answer.matched
            done.changed += answer.changed
            done.messages.update(event.message_id for event in answer.events)
            yield from answer.events
            if answer.more is None:
                break
            request = replace(request, before=answer.more)


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


def _warn(action: Action, foreseen: ActAnswer) -> None:
    """Say before an attempt is asked for how many recipients are at their last one."""
    count = foreseen.last_retry
    if action in (Action.EXPEDITE, Action.RELEASE) and count:
        have = "has" if count == 1 else "have"
        click.echo(
            f"{count} of these {have} used their last retry and would bounce at the next soft"
            " refusal; the attempt that follows now does not count, and ends none of them",
            err=True,
        )


def _tell(action: Action, answer: ActAnswer, *, as_json: bool, dry_run: bool = False) -> None:
    """Print the count, the last line."""
    if as_json:
        counts: dict[str, object] = {"action": action.value, "dry_run": dry_run or None}
        counts |= {"matched": answer.matched, "changed": answer.changed}
        show_json(counts | ({"last_retry": answer.last_retry} if dry_run else {}))
        return
    did = f"would {action}" if dry_run else _PAST[action]
    left = answer.matched - answer.changed
    also = f"; {left} that match {'is' if left == 1 else 'are'} left alone" if left else ""
    click.echo(f"{did} {recipients(answer.changed)}{also}")


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
queue.add_command(requeue)
queue.add_command(cat)

"""`relayd queue requeue`: send bounced mail again, as new messages."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import click

from relayd.cli.ask.selector import queries, selector
from relayd.cli.confirm import confirm, dry_run_option, recipients, yes_option
from relayd.cli.context import NoSuch, json_option, load_settings
from relayd.cli.output import show_json, show_table
from relayd.control import client
from relayd.control.protocol import event_to_json, selects_everything
from relayd.control.requeue import RequeueAnswer, RequeueRequest
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, format_id
from relayd.mail.requeue import RequeueCounts
from relayd.ports.view import Query, Status

_AT_ONCE = 1000  # recipients in one transaction: their contents are written anew


@click.command()
@selector
@json_option
@click.option("--reason", default="", help="Why, for the history.")
@click.option("--all", "everything", is_flag=True, help="All that bounced and is kept.")
@click.option("--again", is_flag=True, help="Also what was requeued before: it is sent once more.")
@dry_run_option
@yes_option
@click.option("--list", "listed", is_flag=True, help="Show each recipient with its new queue id.")
def requeue(  # noqa: PLR0913 -- each option is one
    *,
    ids: tuple[MessageId, ...],
    query: Query,
    reason: str,
    everything: bool,
    again: bool,
    dry_run: bool,
    yes: bool,
    listed: bool,
    as_json: bool,
) -> None:
    """Send bounced mail again: a new message for the recipients that match.

    Their content is kept for store.keep_bounced. Nothing is requeued twice, unless --again says so.
    """
    _check(ids, query, everything=everything)
    socket = load_settings().control_socket
    requests = [
        RequeueRequest(query=one, reason=reason, everything=everything, again=again)
        for one in queries(ids, replace(query, status=(Status.BOUNCED,)))
    ]
    counted = RequeueCounts()
    for request in requests:
        counted += client.requeue(socket, replace(request, dry_run=True)).counts
    _warn(counted)
    if dry_run:
        _tell(counted, as_json=as_json, dry_run=True)
        return
    confirm(f"requeue {recipients(counted.changed)}", counted.changed, yes=yes)
    done = _carry_out(socket, requests, listed=listed, as_json=as_json)
    missed = sorted(set(ids) - done)
    if missed:
        names = ", ".join(format_id(one) for one in missed)
        raise NoSuch(f"nothing to requeue in {names} (see relayd status show)")


def _check(ids: Sequence[MessageId], query: Query, *, everything: bool) -> None:
    if others := sorted(set(query.status) - {Status.BOUNCED}):
        raise click.UsageError(f"Only bounced mail is requeued, no {others[0]} mail.")
    selected = bool(ids) or not selects_everything(query)
    if everything and selected:
        raise click.UsageError("--all does not go with a selector.")
    if not everything and not selected:
        raise click.UsageError("Say which mail: an ID, a filter such as --since 2h, or --all.")


@dataclass(slots=True)
class _Done:
    """What was requeued so far."""

    answers: int = 0
    counts: RequeueCounts = field(default_factory=RequeueCounts)
    messages: set[MessageId] = field(default_factory=set)


def _carry_out(
    socket: str, requests: Sequence[RequeueRequest], *, listed: bool, as_json: bool
) -> set[MessageId]:
    """Have the requests carried out; print the count last, also of a part. Return the old messages."""
    done = _Done()
    events = _events(socket, requests, done)
    try:
        if listed and not as_json:
            show_table(("ID", "RECIPIENT", "NEW ID"), map(_cells, events))
        for event in events:
            if listed:
                show_json(event_to_json(event))
    finally:
        if done.answers:
            _tell(done.counts, as_json=as_json)
    return done.messages


def _events(socket: str, requests: Sequence[RequeueRequest], done: _Done) -> Iterator[Event]:
    """Requeue a part at a time; yield the events of the old messages."""
    for one in requests:
        request = replace(one, limit=_AT_ONCE)
        while True:
            answer: RequeueAnswer = client.requeue(socket, request)
            old = [event for event in answer.events if "requeued_as" in event.detail]
            done.answers += 1
            done.counts += answer.counts
            done.messages.update(event.message_id for event in old)
            yield from old
            if answer.more is None:
                break
            request = replace(request, before=answer.more)


def _warn(counted: RequeueCounts) -> None:
    """Say before what speaks against it."""
    if counted.suppressed:
        click.echo(
            f"the addresses of {counted.suppressed} of these are suppressed after a bounce, and are"
            " written to all the same",
            err=True,
        )


def _tell(counted: RequeueCounts, *, as_json: bool, dry_run: bool = False) -> None:
    """Print the count, the last line."""
    if as_json:
        show_json({"action": "requeue", "dry_run": dry_run or None, **asdict(counted)})
        return
    left = [
        (counted.already, "requeued before (--again sends them once more)"),
        (counted.gone, "whose content is deleted (store.keep_bounced)"),
        (counted.refused, "suppressed, which bounces.refuse_suppressed refuses"),
    ]
    why = ", ".join(f"{count} {text}" for count, text in left if count)
    did = "would requeue" if dry_run else "requeued"
    click.echo(f"{did} {recipients(counted.changed)}{f'; left alone: {why}' if why else ''}")


def _cells(event: Event) -> tuple[str, str, str]:
    address = "" if event.subject is None else event.subject.address
    return format_id(event.message_id), address, str(event.detail["requeued_as"])

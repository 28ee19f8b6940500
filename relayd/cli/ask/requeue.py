"""`relayd queue requeue`: send bounced mail again, as new messages."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import click

from relayd.cli.ask.acting import How, Part, act, check_selector, takes_how
from relayd.cli.ask.selector import queries, selector
from relayd.cli.asked_daemon import daemon_socket
from relayd.mail.event import Event
from relayd.mail.ids import MessageId
from relayd.ports.view import Place, Query, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Requeue:
    """The verb."""

    reason: str
    everything: bool
    again: bool
    socket: str
    name: ClassVar[str] = "requeue"
    past: ClassVar[str] = "requeued"
    at_once: ClassVar[int] = 1000  # their contents are written anew
    titles: ClassVar[Sequence[str]] = ("NEW ID",)

    def ask(
        self, query: Query, *, dry_run: bool, limit: int | None = None, before: Place | None = None
    ) -> Part:
        from relayd.control import client  # noqa: PLC0415 -- the lists of this group need none of it
        from relayd.control.requeue import RequeueRequest  # noqa: PLC0415 -- as above

        request = RequeueRequest(
            query=query,
            reason=self.reason,
            everything=self.everything,
            again=self.again,
            dry_run=dry_run,
            limit=limit,
            before=before,
        )
        told = client.requeue(self.socket, request)
        old = [event for event in told.events if "requeued_as" in event.detail]
        return Part(counts=asdict(told.counts), events=old, targets=told.targets, more=told.more)

    def warning(self, foreseen: Mapping[str, int]) -> str:
        """Tell before what speaks against it."""
        count = foreseen["suppressed"]
        if not count:
            return ""
        return (
            f"the addresses of {count} of these are suppressed after a bounce, and are"
            " written to all the same"
        )

    def left_alone(self, counts: Mapping[str, int]) -> str:
        left = (
            (counts["already"], "requeued before (--again sends them once more)"),
            (counts["gone"], "whose content is deleted (store.keep_bounced)"),
            (counts["refused"], "suppressed, which bounces.refuse_suppressed refuses"),
        )
        why = ", ".join(f"{count} {text}" for count, text in left if count)
        return f"; left alone: {why}" if why else ""

    def cells(self, event: Event) -> Sequence[str]:
        return [str(event.detail["requeued_as"])]


@click.command()
@selector
@click.option("--reason", default="", help="Why, for the history.")
@click.option("--all", "everything", is_flag=True, help="All that bounced and is kept.")
@click.option("--again", is_flag=True, help="Also what was requeued before: it is sent once more.")
@takes_how
def requeue(
    *,
    ids: tuple[MessageId, ...],
    query: Query,
    reason: str,
    everything: bool,
    again: bool,
    how: How,
) -> None:
    """Send bounced mail again: a new message for the recipients that match.

    Their content is kept for store.keep_bounced. Nothing is requeued twice, unless --again says so.
    """
    if others := sorted(set(query.status) - {Status.BOUNCED}):
        raise click.UsageError(f"Only bounced mail is requeued, no {others[0]} mail.")
    check_selector(ids, query, everything=everything, example="--since 2h")
    socket = daemon_socket()
    wanted = _Requeue(reason=reason, everything=everything, again=again, socket=socket)
    act(wanted, ids, queries(ids, replace(query, status=(Status.BOUNCED,))), how)

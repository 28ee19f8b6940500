"""`relayd status` and `relayd status show`: what became of the mail, and what it waits for.

Reads the store: it answers while the daemon is down, and says so above.
"""

import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

import click

from relayd.answers import when
from relayd.answers.recipients import fields, recipients_of, resolve, waits_for
from relayd.answers.status_line import status_line
from relayd.cli.completing import complete_ids, ids
from relayd.cli.context import (
    NoSuch,
    json_option,
    load_settings,
    named_settings_file,
    now,
    open_view,
    settings_option,
)
from relayd.cli.filters import EVERY_FILTER, TEXT, limit_option, takes_query
from relayd.cli.group import Group, options_given
from relayd.cli.listing import COLUMNS, list_recipients, nothing_found
from relayd.cli.notices import show_notices
from relayd.cli.output import Form, paint, say_empty, show_json, style_of
from relayd.cli.row_options import takes_row_options
from relayd.cli.screen import repeat
from relayd.cli.table import USUAL, TableOptions
from relayd.cli.table_options import takes_table_options, utc_option
from relayd.mail.ids import format_id, parse_id
from relayd.mail.words import EventKind
from relayd.ports.view import HistoryEntry, Query, RecipientRow, Status

if TYPE_CHECKING:  # only `--explain` needs what judges
    from click.shell_completion import CompletionItem

    from relayd.answers.explain import Judges, Reason


class _StatusGroup(Group):
    """Takes an ID for `show ID`."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        found = super().shell_complete(ctx, incomplete)
        return found if incomplete.startswith("-") else [*found, *ids(ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            if not _is_id(args[0]):
                ctx.fail(
                    f"{args[0]!r} is no queue id and no Message-ID. For one message: relayd status ID"
                )
            args = ["show", *args]
        return super().resolve_command(ctx, args)


def _is_id(text: str) -> bool:
    try:
        parse_id(text)
    except ValueError:
        return "@" in text or text.startswith("<")
    return True


@click.group(cls=_StatusGroup, invoke_without_command=True)
@takes_query(*EVERY_FILTER)
@limit_option
@takes_row_options
@takes_table_options(COLUMNS)
@click.option(
    "--delays",
    "asks_delays",
    is_flag=True,
    help="Show how long each took, and percentiles; `relayd stats` has those of all mail.",
)
@click.option("--watch", is_flag=True, help="Show it again every 2 seconds, until ^C.")
@click.option("--rounds", type=click.IntRange(min=1), hidden=True, help="How often with --watch.")
@settings_option()
@click.pass_context
def status(
    ctx: click.Context,
    *,
    query: Query,
    limit: int | None,
    table: TableOptions,
    asks_delays: bool,
    watch: bool,
    rounds: int | None,
    form: Form,
) -> int:
    """Show what became of mail: one row per recipient, by recipient, sender, tag, status or time.

    Without a filter it is all mail, the newest first; on a terminal the newest is the last line.

    `relayd status ID` shows everything about one message.
    """
    if ctx.invoked_subcommand is not None:
        if not {"--json", "--utc"}.issuperset(options_given(ctx)):
            raise click.UsageError(
                "An ID needs no filter, and no option but --explain, --json and --utc."
            )
        return 1
    if asks_delays and table != USUAL:
        option = "--columns" if table.columns is not None else "--utc"
        raise click.UsageError(f"{option} is for the table without --delays.")
    if watch and limit is None and sys.stdout.isatty():
        limit = max(shutil.get_terminal_size().lines - 3, 1)  # what fits on a screen
    with open_view() as view:

        def draw() -> int:
            show_notices(view, named_settings_file(), table.zone)
            if asks_delays:
                from relayd.cli.ask.delays import list_delays  # noqa: PLC0415

                return list_delays(view, query, limit=limit, form=form)
            return list_recipients(view, [query], limit=limit, form=form, table=table)

        if watch:
            repeat(draw, rounds=rounds)
            return 1
        count = draw()
    if not count:
        say_empty(nothing_found(query))
    return count


@status.command()
@click.argument("wanted", metavar="ID", type=TEXT, shell_complete=complete_ids)
@click.option("--explain", "explains", is_flag=True, help="Say why: the host, the class, the time.")
@json_option
@utc_option
@settings_option()
@click.pass_context
def show(ctx: click.Context, *, wanted: str, explains: bool, as_json: bool, utc: bool) -> None:
    """Show everything about one message.

    It shows every recipient, every attempt with the server's reply, what the message waits for, and
    whether it may have come twice.
    ID is the queue id or the Message-ID header.

    With `--explain` it says why of each event. What the history does not hold is judged anew, by the
    rules and settings of now.
    """
    above = {} if ctx.parent is None else ctx.parent.params
    as_json, utc = as_json or above["as_json"], utc or above["utc"]
    zone = UTC if utc else None
    judges = _judges() if explains else None
    with open_view() as view:
        found = resolve(view, wanted)
        if not found:
            raise NoSuch(f"no message {wanted}{_hint(wanted)}")
        for message_id in found:
            recipients = recipients_of(view, message_id)
            history = view.history(message_id)
            if as_json:
                _show_as_json(recipients, history, judges)
            else:
                _show_in_words(recipients, history, judges, zone)


def _hint(wanted: str) -> str:
    """What an address was meant for, which looks like a Message-ID."""
    is_bare = "@" in wanted and not wanted.startswith("<")
    return f"; for a recipient: relayd status --recipient {wanted}" if is_bare else ""


def _judges() -> "Judges":
    """Return what judges by the settings of now. Raises ConfigError."""
    from relayd.answers.explain import Judges  # noqa: PLC0415
    from relayd.policy.replies.ruleset import rules_from  # noqa: PLC0415

    settings = load_settings()
    return Judges(rules=rules_from(settings.rules), retry=settings.retry, routes=settings.routes)


def _reasons(
    row: RecipientRow, own: Sequence[HistoryEntry], judges: "Judges | None"
) -> "Sequence[Sequence[Reason]]":
    if judges is None:
        return [()] * len(own)
    from relayd.answers.explain import explain  # noqa: PLC0415

    return explain(row, own, judges)


def _show_as_json(
    recipients: Sequence[RecipientRow], history: Sequence[HistoryEntry], judges: "Judges | None"
) -> None:
    for row in recipients:
        own = _history_of(row, history)
        show_json(
            {
                **fields(row),
                "waits_for": waits_for(row, own, now()),
                "history": [
                    status_line(one, row.message_id, row, row.address)
                    | ({"why": [asdict(each) for each in why]} if why else {})
                    for one, why in zip(own, _reasons(row, own, judges), strict=True)
                ],
            }
        )


def _doubt(row: RecipientRow) -> str:
    """An attempt ended without an answer to the whole message."""
    given_up = row.status in (Status.BOUNCED, Status.DROPPED)
    return "may have been delivered" if given_up else "possibly delivered more than once"


def _show_in_words(
    recipients: Sequence[RecipientRow],
    history: Sequence[HistoryEntry],
    judges: "Judges | None",
    zone: tzinfo | None,
) -> None:
    if recipients:
        _message_facts(recipients[0], zone)
    for row in recipients:
        own = _history_of(row, history)
        click.echo()
        click.echo(
            f"{paint(row.address)}  {paint(row.status.value, style_of(row.status.value))}"
            + (f" ({row.bounce_class})" if row.bounce_class else "")
            + (f"  {_doubt(row)}" if row.possible_duplicate else "")
        )
        click.echo(paint(f"  waits for  {waits_for(row, own, now(), zone=zone)}"))
        if row.suppress:
            click.echo("  suppress   the address is invalid: do not use it again")
        for entry, why in zip(own, _reasons(row, own, judges), strict=True):
            for line in _told(entry, zone):
                click.echo(line)
            for reason in why:
                anew = " (judged anew)" if reason.judged_anew else ""
                click.echo(paint(f"      why {reason.about}: {reason.says}{anew}", "cyan"))


def _message_facts(row: RecipientRow, zone: tzinfo | None) -> None:
    origin = row.client_ip or "a local socket"
    user = f" as {row.auth_user}" if row.auth_user else ""
    facts = {
        "Queue id": format_id(row.message_id),
        "Received": f"{when.shown(row.received_at, zone)} from {origin}{user}",
        "From": row.reverse_path or "<>",
        "Message-ID": row.message_id_header or "(none)",
        "Subject": row.subject,
        "Tag": row.tag,
        "Size": f"{row.size} octets",
        "Goes to": row.destination,
    }
    for name, value in facts.items():
        if value is not None:
            click.echo(paint(f"{name:<12} {value}"))


_NOT_COUNTED = {
    "sender": "this mail has a reverse-path, and a bounce has none",
    "recipient": "this mail does not name the recipient as failed",
    "age": "the message is too old for a bounce, or newer than the clock",
}


def _told(entry: HistoryEntry, zone: tzinfo | None) -> Iterable[str]:
    """One event in words: what, then with whom, then the remote's own words or our reason."""
    detail = entry.detail
    attempt = f"  attempt {detail['attempt']}" if "attempt" in detail else ""
    by = f"  by {detail['by']}" if detail.get("by") else ""
    for name in ("requeued_as", "requeued_from"):
        by += f"  {name.removeprefix('requeued_')} {detail[name]}" if name in detail else ""
    at = when.shown(entry.at, zone)
    yield f"  {at}  {paint(entry.kind, style_of(entry.kind))}{paint(attempt + by)}"
    if detail.get("remote_host"):
        yield paint(
            f"      {detail['remote_host']} [{detail.get('remote_ip')}]:{detail.get('remote_port')}"
            f"  {detail.get('route')}  tls {detail.get('tls')}"
        )
    if detail.get("orig_rcpt"):
        yield paint(f"      written to {str(detail['orig_rcpt']).partition(';')[2]}")
    if detail.get("redirected_to"):
        yield paint(f"      to {detail['redirected_to']} instead, by [redirect]")
    stage = f"at {detail['stage']}: " if detail.get("stage") else ""
    if detail.get("reply"):
        yield paint(f"      {stage}{detail['reply']}")
    if detail.get("reason"):
        yield paint(f"      {'' if detail.get('reply') else stage}{detail['reason']}")
    if why := _NOT_COUNTED.get(str(detail.get("not_counted"))):
        yield f"      not counted: {why}"
    if entry.kind == EventKind.DEFERRED.value and detail.get("next_attempt_at"):
        yield paint(f"      next attempt {when.shown_text(detail['next_attempt_at'], zone)}")


def _history_of(row: RecipientRow, history: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    return [entry for entry in history if entry.recipient == row.recipient]

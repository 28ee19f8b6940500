"""`relayd status ID`: everything about one message, and what it waits for.

Reads the store: it answers while the daemon is down.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import tzinfo
from typing import TYPE_CHECKING

import click

from relayd.answers import when
from relayd.answers.recipients import fields, recipients_of, resolve, waits_for
from relayd.answers.status_line import status_line
from relayd.cli.completing import complete_ids
from relayd.cli.context import NoSuch, json_option, load_settings, now, open_view, settings_option
from relayd.cli.filters import TEXT
from relayd.cli.output import hanging, paint, show_json, style_of
from relayd.cli.table import TableOptions, coloured
from relayd.cli.table_options import utc_option
from relayd.mail.ids import format_id
from relayd.mail.words import Detail, EventKind
from relayd.ports.view import HistoryEntry, RecipientRow, Status

if TYPE_CHECKING:  # only `--explain` needs what judges
    from relayd.answers.explain import Judges, Reason


_INDENT = " " * 6  # of what is told about an event


@click.command()
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
    as_json = as_json or above["as_json"]
    table = TableOptions(utc=utc or above["utc"], at=now())
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
                show_in_words(recipients, history, judges, table)


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


def show_in_words(
    recipients: Sequence[RecipientRow],
    history: Sequence[HistoryEntry],
    judges: "Judges | None",
    table: TableOptions,
) -> None:
    """Print what is known of one message; `judges` say why, if they are given."""
    zone, at = table.zone, table.at or now()
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
        click.echo(hanging("  waits for  ", waits_for(row, own, at, zone=zone)))
        if row.suppress:
            click.echo("  suppress   the address is invalid: do not use it again")
        for entry, why in zip(own, _reasons(row, own, judges), strict=True):
            for line in _told(entry, zone):
                click.echo(line)
            for reason in why:
                anew = " (judged anew)" if reason.judged_anew else ""
                says = hanging(f"{_INDENT}why {reason.about}: ", f"{reason.says}{anew}")
                click.echo(coloured(says, "cyan"))


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
        "Goes to": row.destination + (f", by {row.chosen_by}" if row.chosen_by else ""),
    }
    for name, value in facts.items():
        if value is not None:
            click.echo(hanging(f"{name:<12} ", str(value)))


_NOT_COUNTED = {
    "sender": "this mail has a reverse-path, and a bounce has none",
    "recipient": "this mail does not name the recipient as failed",
    "age": "the message is too old for a bounce, or newer than the clock",
}


def _changed(detail: Detail) -> Iterable[str]:
    """What the settings, or the client's word, made of where it goes and what it says."""
    if detail.get("orig_rcpt"):
        yield hanging(f"{_INDENT}written to ", str(detail["orig_rcpt"]).partition(";")[2])
    if detail.get("chosen_by"):
        yield hanging(f"{_INDENT}way chosen by ", str(detail["chosen_by"]))
    if detail.get("redirected_to"):
        yield hanging(_INDENT, f"to {detail['redirected_to']} instead, by [redirect]")
    if detail.get("rewritten"):
        yield hanging(f"{_INDENT}rewritten: ", str(detail["rewritten"]))


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
        yield hanging(
            _INDENT,
            f"{detail['remote_host']} [{detail.get('remote_ip')}]:{detail.get('remote_port')}"
            f"  {detail.get('route')}  tls {detail.get('tls')}",
        )
    if detail.get("tls_policy", "none") != "none":
        failed = f"; {detail['tls_result']}" if detail.get("tls_result") else ""
        said = f"tls asked for by {detail['tls_policy']}, shown: {detail.get('tls_proof')}{failed}"
        yield hanging(_INDENT, said)
    yield from _changed(detail)
    stage = f"at {detail['stage']}: " if detail.get("stage") else ""
    if detail.get("reply"):
        yield hanging(_INDENT, f"{stage}{detail['reply']}")
    if detail.get("reason"):
        yield hanging(_INDENT, f"{'' if detail.get('reply') else stage}{detail['reason']}")
    if why := _NOT_COUNTED.get(str(detail.get("not_counted"))):
        yield hanging(_INDENT, f"not counted: {why}")
    if detail.get("unreported"):
        yield hanging(_INDENT, "the sender got no report: there were too many lately")
    if entry.kind == EventKind.DEFERRED.value and detail.get("next_attempt_at"):
        yield paint(f"{_INDENT}next attempt {when.shown_text(detail['next_attempt_at'], zone)}")


def _history_of(row: RecipientRow, history: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    return [entry for entry in history if entry.recipient == row.recipient]

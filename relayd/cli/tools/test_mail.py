"""`relayd test-mail`: a small mail through the running daemon and the smarthost, until it has a result.

Owns the waiting; `relayd.test_mail` makes the mail and hands it in, and all else is the daemon's work.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

import click

from relayd.answers.recipients import fields, recipients_of, waits_for
from relayd.cli.context import json_option, load_settings, now, open_view, settings_option
from relayd.cli.filters import ADDRESS, TEXT, DurationType
from relayd.cli.output import paint, printable, show_json, style_of
from relayd.cli.progress import progress
from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.policy.delivery.route import DEFAULT
from relayd.ports.view import QueueView, RecipientRow, Status
from relayd.test_mail import SUBJECT, MailRefused, make_mail, submit

_POLL_EVERY = 0.1  # seconds
_EXIT_STATUS = {
    Status.RELAYED: os.EX_OK,
    Status.SENT: os.EX_OK,
    Status.BOUNCED: 1,
    Status.DROPPED: 1,
}  # all others wait: 75


class MailboxType(click.ParamType[Address]):
    name = "address"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        try:
            return (
                value if isinstance(value, Address) else parse_address(ADDRESS(value, param, ctx))
            )
        except PathError as wrong:
            self.fail(f"{value!r} is no address: {wrong}", param, ctx)


class Refused(click.ClickException):
    """The daemon does not take the mail."""

    exit_code = 1


class RefusedForNow(Refused):
    """It may take it later."""

    exit_code = os.EX_TEMPFAIL


@click.command("test-mail")
@click.argument("to", type=MailboxType())
@click.option(
    "--from", "sender", type=MailboxType(), help="The sender. Default: postmaster at our fqdn."
)
@click.option(
    "--via", metavar="NAME", default=DEFAULT, help="By [smarthosts.NAME]. Default: by [smarthost]."
)
@click.option("--subject", type=TEXT, default=SUBJECT, show_default=True)
@click.option("--timeout", type=DurationType(), default="30s", show_default=True)
@json_option
@settings_option()
@click.pass_context
def test_mail(
    ctx: click.Context,
    *,
    to: Address,
    sender: Address | None,
    via: str,
    subject: str,
    timeout: timedelta,
    as_json: bool,
) -> None:
    """Send a test mail to TO through a smarthost, and show its reply.

    The running daemon gets the mail as from any client. The exit status is 0 if the smarthost
    accepted it, 1 if the mail was refused for good, 75 if it still waits, and 69 if no daemon
    accepts it.
    """
    settings = load_settings()
    if via not in settings.smarthosts:
        known = ", ".join(settings.smarthosts)
        raise click.UsageError(f"there is no [smarthosts.{via}]; the smarthosts are {known}")
    origin = sender or Address("postmaster", settings.fqdn)
    mail = make_mail(settings.fqdn, origin, to, subject=subject, at=now(), via=via)
    try:
        listener, answer = submit(settings, mail)
    except MailRefused as refused:
        kind = Refused if refused.is_permanent else RefusedForNow
        raise kind(printable(str(refused))) from refused
    message_id = parse_id(answer.rpartition(" ")[2])
    if not as_json:
        click.echo(paint(f"submitted to {listener}: {answer}"))
    with open_view() as view:
        row = _settled(view, message_id, within=timeout)
        why = waits_for(row, view.history(message_id), now(), zone=UTC if as_json else None)
    status = _EXIT_STATUS.get(row.status, os.EX_TEMPFAIL)
    if as_json:
        show_json({**fields(row), "waits_for": why})
    else:
        for line in _told(row, why, waits=status == os.EX_TEMPFAIL):
            click.echo(line)
    ctx.exit(status)


def _settled(view: QueueView, message_id: MessageId, *, within: timedelta) -> RecipientRow:
    """Return the recipient once it is no longer `queued`, or as it is when the time is over."""
    began = time.monotonic()
    with progress() as line:
        while True:
            row = recipients_of(view, message_id)[0]
            waited = time.monotonic() - began
            if row.status is not Status.QUEUED or waited >= within.total_seconds():
                return row
            line.show(f"  waiting for {waited:.0f} s")
            time.sleep(_POLL_EVERY)


def _told(row: RecipientRow, why: str, *, waits: bool) -> Iterator[str]:
    status, way = row.status.value, f" by {row.remote_host}" if row.remote_host else ""
    yield f"{paint(status, style_of(status))}{paint(way)}"
    if row.reply:
        yield paint(f"  the server says  {row.reply}")
    if row.reason:
        yield paint(f"  that means       {row.reason}")
    if waits:
        yield paint(f"  waits for        {why}")
    yield paint(f"  queue id         {format_id(row.message_id)}  (relayd status show)")

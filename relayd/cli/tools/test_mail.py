"""`relayd test-mail`: a small mail through the running daemon and the smarthost, until it has a result.

Owns the submission, as any application would do it, and the waiting; all else is the daemon's
work. Test mail goes by the smarthost whatever is set, because it says so in its header.
"""

import os
import smtplib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Any

import click

from relayd.answers.recipients import fields, recipients_of, waits_for
from relayd.cli.context import json_option, load_settings, now, open_view, settings_option
from relayd.cli.filters import ADDRESS, TEXT, DurationType
from relayd.cli.output import paint, printable, show_json, style_of
from relayd.cli.progress import progress
from relayd.errors import DaemonUnreachable
from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.ports.view import QueueView, RecipientRow, Status
from relayd.settings import ListenerSettings, Settings

_STEP_TIMEOUT = 30.0  # seconds for one step of the submission
_POLL_EVERY = 0.1  # seconds
_EXIT_STATUS = {
    Status.RELAYED: os.EX_OK,
    Status.SENT: os.EX_OK,
    Status.BOUNCED: 1,
    Status.DROPPED: 1,
}  # all others wait: 75
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- not bound: where to connect


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
    """The daemon will not take the mail."""

    exit_code = 1

    def format_message(self) -> str:
        return f"the relay answers {printable(' '.join(self.message.split()))}"


class RefusedForNow(Refused):
    """It may take it later."""

    exit_code = os.EX_TEMPFAIL


@dataclass(frozen=True, slots=True)
class Mail:
    """What is submitted."""

    reverse_path: Address
    forward_path: Address
    content: bytes

    @property
    def options(self) -> list[str]:
        body = [] if self.content.isascii() else ["BODY=8BITMIME"]
        is_ascii = self.reverse_path.is_ascii and self.forward_path.is_ascii
        return body if is_ascii else [*body, "SMTPUTF8"]


@click.command("test-mail")
@click.argument("to", type=MailboxType())
@click.option(
    "--from", "sender", type=MailboxType(), help="The sender. Default: postmaster at our fqdn."
)
@click.option("--subject", type=TEXT, default="A test of relayd", show_default=True)
@click.option("--timeout", type=DurationType(), default="30s", show_default=True)
@json_option
@settings_option()
@click.pass_context
def test_mail(
    ctx: click.Context,
    *,
    to: Address,
    sender: Address | None,
    subject: str,
    timeout: timedelta,
    as_json: bool,
) -> None:
    """Send a test mail to TO through the smarthost, and show its reply.

    The running daemon gets the mail as from any client. The exit status is 0 if the smarthost
    accepted it, 1 if the mail was refused for good, 75 if it still waits, and 69 if no daemon
    accepts it.
    """
    settings = load_settings()
    origin = sender or Address("postmaster", settings.fqdn)
    mail = Mail(origin, to, _content(settings.fqdn, origin, to, subject))
    listener, answer = _submit(settings, mail)
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


def _content(fqdn: str, sender: Address, to: Address, subject: str) -> bytes:
    is_ascii = sender.is_ascii and to.is_ascii
    mail = EmailMessage(policy=SMTP.clone(utf8=not is_ascii))
    mail["Date"] = format_datetime(now())
    mail["From"] = str(sender)
    mail["To"] = str(to)
    mail["Subject"] = subject
    mail["Message-ID"] = make_msgid(domain=fqdn)
    mail["X-Relayd-Test"] = "yes"
    mail.set_content("This is a test mail of relayd. It went by the smarthost.\n")
    return mail.as_bytes()


def _submit(settings: Settings, mail: Mail) -> tuple[str, str]:
    """Hand the mail to the first listener that takes it; return which, and its reply to the dot.

    Raises DaemonUnreachable if none answers, Refused if none of those that answer takes it.
    """
    refused: Refused | None = None
    troubles = []
    for listener in settings.listeners:
        try:
            return listener.address, _transact(listener, mail)
        except Refused as answer:
            refused = answer
        except (OSError, smtplib.SMTPException) as trouble:
            troubles.append(f"{listener.address}: {getattr(trouble, 'strerror', None) or trouble}")
    if refused is not None:
        raise refused
    raise DaemonUnreachable(f"no daemon takes the mail: {'; '.join(troubles)}")


def _transact(listener: ListenerSettings, mail: Mail) -> str:
    """Return the reply to the final dot. Raises Refused, OSError, SMTPException."""
    with smtplib.SMTP(local_hostname="localhost", timeout=_STEP_TIMEOUT) as client:
        client.sock = _connected(listener)
        steps: tuple[tuple[int, Callable[[], tuple[int, bytes]]], ...] = (
            (220, client.getreply),
            (250, client.ehlo),
            (250, lambda: client.mail(str(mail.reverse_path), mail.options)),
            (250, lambda: client.rcpt(str(mail.forward_path))),
            (250, lambda: client.data(mail.content)),
        )
        answer = (0, b"")
        for expected, step in steps:
            answer = step()
            if answer[0] != expected:
                raise (Refused if answer[0] >= 500 else RefusedForNow)(_text(*answer))
        return _text(*answer)


def _text(code: int, text: bytes) -> str:
    return f"{code} {text.decode(errors='replace')}"


def _connected(listener: ListenerSettings) -> socket.socket:
    """Connect to a listener. Raises OSError."""
    if listener.unix_path is not None:
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(_STEP_TIMEOUT)
        try:
            local.connect(listener.unix_path)
        except OSError:
            local.close()
            raise
        return local
    if listener.endpoint is None:
        raise OSError("its address is known to systemd only")
    host = _EVERYWHERE.get(listener.endpoint.host, listener.endpoint.host)
    return socket.create_connection((host, listener.endpoint.port), timeout=_STEP_TIMEOUT)


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

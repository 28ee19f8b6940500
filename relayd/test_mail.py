"""Test mail: made, and handed to the running daemon as any application would do it.

It goes by the default smarthost, or a named one, whatever is set, because it says so in its header. All else is the daemon's work.
"""

import smtplib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from relayd.errors import DaemonUnreachable
from relayd.mail.address import Address
from relayd.policy.delivery.route import DEFAULT
from relayd.settings import ListenerSettings, Settings

SUBJECT = "A test of relayd"
_STEP_TIMEOUT = 30.0  # seconds for one step of the submission
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- not bound: where to connect


class MailRefused(Exception):
    """The daemon does not take the mail; the text says what it answered."""

    def __init__(self, code: int, reply: str) -> None:
        self.is_permanent = code >= 500
        super().__init__(f"the relay answers {' '.join(reply.split())}")


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


def make_mail(
    fqdn: str, sender: Address, to: Address, *, subject: str, at: datetime, via: str = DEFAULT
) -> Mail:
    """Make a test mail, for the smarthost of this name."""
    is_ascii = sender.is_ascii and to.is_ascii
    mail = EmailMessage(policy=SMTP.clone(utf8=not is_ascii))
    mail["Date"] = format_datetime(at)
    mail["From"] = str(sender)
    mail["To"] = str(to)
    mail["Subject"] = subject
    mail["Message-ID"] = make_msgid(domain=fqdn)
    mail["X-Relayd-Test"] = "yes" if via == DEFAULT else f"smarthost:{via}"
    which = "the smarthost" if via == DEFAULT else f"the smarthost {via}"
    mail.set_content(f"This is a test mail of relayd. It went by {which}.\n")
    return Mail(sender, to, mail.as_bytes())


def submit(settings: Settings, mail: Mail) -> tuple[str, str]:
    """Hand the mail to the first listener that takes it; return which, and its reply to the dot.

    Raises DaemonUnreachable if none answers, MailRefused if none of those that answer takes it.
    """
    refused: MailRefused | None = None
    troubles = []
    for listener in settings.listeners:
        try:
            return listener.address, _transact(listener, mail)
        except MailRefused as answer:
            refused = answer
        except (OSError, smtplib.SMTPException) as trouble:
            troubles.append(f"{listener.address}: {getattr(trouble, 'strerror', None) or trouble}")
    if refused is not None:
        raise refused
    raise DaemonUnreachable(f"no daemon takes the mail: {'; '.join(troubles)}")


def _transact(listener: ListenerSettings, mail: Mail) -> str:
    """Return the reply to the final dot. Raises MailRefused, OSError, SMTPException."""
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
                raise MailRefused(answer[0], _text(*answer))
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

"""The mail that says that a webhook is disabled because of its receiver.

Owns the whole message, as octets. Of the URL it tells the host alone: the rest of it may be a secret.

Source: RFC 5322 §2.1.1 (lines); RFC 3834 §5 (Auto-Submitted).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import urlsplit

from relayd.policy.console.webhook import Off
from relayd.policy.dsn.lines import clean_address, clean_line, clean_name, fold

_WHY = {
    Off.GONE: "its receiver says that it is gone (410)",
    Off.UNREACHABLE: "its receiver has taken nothing for five days",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DisabledWebhook:
    """What is known of it at that moment."""

    number: int
    url: str
    off: Off
    failing_since: datetime | None
    last_ok_at: datetime | None
    last_answer: str  # a status, or why there was none
    waiting: int  # deliveries


def compose_alert(
    webhook: DisabledWebhook, to: Sequence[str], *, fqdn: str, token: str, now: datetime
) -> bytes:
    """Return the mail to `to`, at least one address; `token` makes its Message-ID unique."""
    utf8 = not all(each.isascii() for each in to)
    host = clean_name(fqdn)
    addresses = ",\r\n\t".join(f"<{clean_address(each, utf8=utf8)}>" for each in to)
    header = (
        f"From: relayd <mailer-daemon@{host}>\r\n"
        f"To: {addresses}\r\n"
        f"Subject: Webhook {webhook.number} is disabled: {_host_of(webhook)}\r\n"
        f"Date: {format_datetime(now)}\r\n"
        f"Message-ID: <{clean_name(token)}@{host}>\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n"
        "Content-Transfer-Encoding: 7bit\r\n"
    )
    body = "".join(f"{line}\r\n" for line in _lines(webhook, host))
    return f"{header}\r\n{body}".encode()


def _lines(webhook: DisabledWebhook, host: str) -> list[str]:
    number = webhook.number
    opening = f"relayd on {host} has disabled webhook {number}: {_WHY[webhook.off]}."
    waits = "What it would be told waits for as long as the history is kept (store.history)."
    return [
        *fold("", opening, indent=""),
        "",
        *_row("Receiver", _host_of(webhook)),
        *_row("Failing since", _instant(webhook.failing_since)),
        *_row("Last success", _instant(webhook.last_ok_at) or "none so far"),
        *_row("Last answer", clean_line(webhook.last_answer, utf8=False)),
        *_row("Waiting", f"{webhook.waiting:,} deliveries"),
        "",
        *fold("", f"Nothing is lost. {waits}", indent=""),
        "",
        "What to do: repair the receiver, then run as root",
        "",
        f"    relayd console webhook set {number} --enable",
        "",
        *fold("", f"or enable it on the console, on the page /webhooks/{number}.", indent=""),
        "If nobody needs it any more:",
        "",
        f"    relayd console webhook remove {number}",
        "",
        *fold("", "This mail goes to console.alerts_to, once each time.", indent=""),
    ]


def _row(name: str, value: str) -> list[str]:
    """Return the lines of a fact; none when it is not known."""
    return fold(f"    {name + ':':<15}", value, indent=" " * 19) if value else []


def _instant(at: datetime | None) -> str:
    return "" if at is None else format_datetime(at)


def _host_of(webhook: DisabledWebhook) -> str:
    return clean_name(urlsplit(webhook.url).hostname or "")

"""The part of a report for programs: message/delivery-status.

Source: RFC 3464 §2.2, §2.3; RFC 6533 §4 for its internationalized form.
"""

import re
from collections.abc import Sequence
from email.utils import format_datetime

from relayd.policy.dsn.facts import Action, DsnFacts, FailedRecipient
from relayd.policy.dsn.lines import (
    clean_line,
    decode_xtext,
    fold,
    original_address,
    typed_address,
)

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_VAGUE: dict[Action, str] = {
    "failed": "5.0.0",
    "delayed": "4.0.0",
    "relayed": "2.0.0",
    "delivered": "2.0.0",
}


def machine_readable(facts: DsnFacts, recipients: Sequence[FailedRecipient]) -> bytes:
    """The groups of fields, an empty line between them, lines ending in CRLF."""
    utf8 = facts.is_utf8
    groups = [_of_message(facts, utf8=utf8), *(_of_recipient(one, utf8=utf8) for one in recipients)]
    return "\r\n".join("".join(f"{line}\r\n" for line in group) for group in groups).encode()


def _of_message(facts: DsnFacts, *, utf8: bool) -> list[str]:
    envelope_id = clean_line(decode_xtext(facts.envelope_id or ""), utf8=utf8)
    return [
        *_field("Original-Envelope-Id", "", envelope_id),
        *_field("Reporting-MTA", "dns; ", clean_line(facts.reporting_mta, utf8=utf8) or "unknown"),
        *_field("Received-From-MTA", "dns; ", clean_line(facts.received_from or "", utf8=utf8)),
        f"Arrival-Date: {format_datetime(facts.received_at)}",
        *_field("X-Relayd-Queue-ID", "", clean_line(facts.queue_id, utf8=utf8)),
    ]


def _of_recipient(one: FailedRecipient, *, utf8: bool) -> list[str]:
    original = original_address(one.orig_rcpt, utf8=utf8) if one.orig_rcpt else None
    lines = [f"Original-Recipient: {original}"] if original else []
    lines += [
        f"Final-Recipient: {typed_address(one.address, utf8=utf8)}",
        f"Action: {one.action}",
        f"Status: {one.status if _STATUS.fullmatch(one.status) else _VAGUE[one.action]}",
        *_field("Remote-MTA", "dns; ", clean_line(one.remote_host or "", utf8=utf8)),
        *_diagnostic(one, utf8=utf8),
        f"Last-Attempt-Date: {format_datetime(one.last_attempt_at)}",
    ]
    if one.action == "delayed" and one.will_retry_until is not None:
        lines.append(f"Will-Retry-Until: {format_datetime(one.will_retry_until)}")
    return lines


def _diagnostic(one: FailedRecipient, *, utf8: bool) -> list[str]:
    """What the server said; where none said anything, what we say."""
    if one.reply is not None:
        return _field("Diagnostic-Code", "smtp; ", clean_line(str(one.reply), utf8=utf8))
    return _field("Diagnostic-Code", "x-relayd; ", clean_line(one.reason, utf8=utf8))


def _field(name: str, kind: str, value: str) -> list[str]:
    """The lines of a field; none when it would be empty."""
    return fold(f"{name}: {kind}", value, indent="  ") if value else []

"""Read complaints.

Owns ARF reports and the two complaints that come without one: Microsoft's JMRP mails, which only
enclose the message, and the unsubscribe mails of Apple's client.

Source: RFC 5965 §3, RFC 6591; RFC 8058 (what "unsubscribe" stands for).
"""

import re

from relayd.policy.inbound_bounce.address import find_addresses
from relayd.policy.inbound_bounce.mime import Mail, read_headers
from relayd.policy.inbound_bounce.result import Found, Kind, Reading

_FIELD = re.compile(r"^([A-Za-z][\w-]{1,60})[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_RECIPIENT_FIELDS = ("original-rcpt-to", "removal-recipient")
_REPORT_TYPE = re.compile(r"report-type\s*=\s*\"?feedback-report", re.IGNORECASE)
_JMRP = re.compile(r"complaint about message from", re.IGNORECASE)
_JMRP_RECIPIENTS = ("x-hmxmroriginalrecipient", "x-original-recipient")
_WORD = re.compile(r"[A-Za-z-]{2,40}")


def read_complaint(mail: Mail) -> Reading | None:
    """Read a complaint; None if the mail is none. The recipient is often left out or redacted."""
    part = mail.first("message/feedback-report")
    if part is not None or _REPORT_TYPE.search(mail.headers.get("content-type")):
        return _arf(part.text() if part else "", mail)
    if _JMRP.search(mail.headers.decoded("subject")) and mail.first("message/rfc822"):
        return Reading(
            kind=Kind.ARF,
            found=_complained(_enclosed(mail, *_JMRP_RECIPIENTS)),
            feedback_type="abuse",
        )
    if mail.headers.get("x-apple-unsubscribe").lower() == "true":
        sender = find_addresses(mail.headers.get("from"))
        return Reading(kind=Kind.ARF, found=_complained(sender[:1]), feedback_type="opt-out")
    return None


def _arf(report: str, mail: Mail) -> Reading:
    fields = {name.lower(): value for name, value in _FIELD.findall(report)}
    named = [a for name in _RECIPIENT_FIELDS for a in find_addresses(fields.get(name, ""))]
    kind = _WORD.match(fields.get("feedback-type", ""))
    return Reading(
        kind=Kind.ARF,
        found=_complained(named or _enclosed(mail, "x-original-to", "delivered-to", "to")[:1]),
        feedback_type=kind.group(0).lower() if kind else None,
    )


def _complained(addresses: list[str]) -> tuple[Found, ...]:
    return tuple(Found(address=address, action="complained") for address in addresses[:50])


def _enclosed(mail: Mail, *names: str) -> list[str]:
    """Addresses in the first of these fields that the enclosed message has."""
    original = next((part for part in mail.parts if part.is_original), None)
    if original is None:
        return []
    headers, _ = read_headers(original.body)
    return next((found for name in names if (found := find_addresses(headers.get(name)))), [])

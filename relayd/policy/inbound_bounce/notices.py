"""Read the notices of sending services that carry JSON in a mail.

Owns the notification mails of Amazon SES (by way of SNS), in both of their spellings. The JSON is
searched with patterns, not parsed: mail breaks it at long lines.

Source: Amazon SES, "Contents of Amazon SNS notifications" and "... event data".
"""

import re

from relayd.policy.inbound_bounce.address import find_addresses
from relayd.policy.inbound_bounce.mime import Mail
from relayd.policy.inbound_bounce.report import report_text
from relayd.policy.inbound_bounce.result import Found, Kind, Reading

_KIND = re.compile(r'"(?:notificationType|eventType)"\s*:\s*"(Bounce|Complaint|Delivery)"')
_BROKEN_LINE = re.compile(r"!\n[ \t]")  # sendmail's mark for a line it had to break
_OBJECT = re.compile(r"\{[^{}]{0,8000}+\}")
_PAIR = re.compile(r'"(\w{1,40})"\s*:\s*"([^"]{0,2000})"')
_DELIVERED = re.compile(r'"recipients"\s*:\s*\[([^][]{0,20000})\]')
_FEEDBACK = re.compile(r'"complaintFeedbackType"\s*:\s*"([\w-]{1,40})"')


def read_notice(mail: Mail) -> Reading | None:
    """Read a notice; None if the mail is none."""
    text = report_text(mail)
    if '"' not in text or ("notificationType" not in text and "eventType" not in text):
        return None
    text = _BROKEN_LINE.sub("", text).replace('\\"', '"')
    kind = _KIND.search(text)
    if kind is None:
        return None
    objects = [one for one in _OBJECT.findall(text) if '"emailAddress"' in one]
    about = [dict(_PAIR.findall(one)) for one in objects[:200]]
    match kind.group(1):
        case "Bounce":
            return Reading(kind=Kind.BOUNCE, found=tuple(filter(None, map(_bounced, about))))
        case "Complaint":
            told = _FEEDBACK.search(text)
            found = tuple(
                Found(address=address, action="complained")
                for one in about
                for address in find_addresses(one.get("emailAddress", ""))
            )
            return Reading(
                kind=Kind.ARF, found=found, feedback_type=told.group(1) if told else "abuse"
            )
        case _:
            listed = _DELIVERED.search(text)
            addresses = find_addresses(listed.group(1)) if listed else []
            return Reading(
                kind=Kind.DELIVERED,
                found=tuple(Found(address=one, action="delivered") for one in addresses),
            )


def _bounced(about: dict[str, str]) -> Found | None:
    addresses = find_addresses(about.get("emailAddress", ""))
    if not addresses:
        return None
    return Found(
        address=addresses[0],
        action="failed",
        status=about.get("status"),
        diagnostic=about.get("diagnosticCode", "").removeprefix("smtp;").strip(),
    )

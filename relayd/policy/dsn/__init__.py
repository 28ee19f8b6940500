"""Report what became of a message to its sender: delivery status notifications.

Owns the whole message of a report, as octets, and the decision whether one is wanted and may be
mailed. The caller sends it from the null reverse-path, one for a message and round (S-12, S-54).

Invariants, whatever the inputs: three parts and no header field but ours; CRLF lines of at most
998 octets, no bare CR or LF, no NUL; ASCII, unless the report is internationalized or RET=FULL asked
for a copy that is not. Nothing is left to `email.generator`: it refolds (HY-03).

Source: RFC 3464, RFC 3461, RFC 6522 (multipart/report), RFC 6533, RFC 3834 §5 (Auto-Submitted).
"""

import hashlib
from collections.abc import Sequence
from email.utils import format_datetime

from relayd.policy.dsn.budget import USUAL_LIMITS, DsnBudget, DsnLimits
from relayd.policy.dsn.facts import (
    Action,
    DsnFacts,
    FailedRecipient,
    Occasion,
    occasion_of,
    wants_report,
)
from relayd.policy.dsn.fields import machine_readable
from relayd.policy.dsn.lines import clean_address, clean_name
from relayd.policy.dsn.returned import Part, returned
from relayd.policy.dsn.words import readable, subject

__all__ = [
    "USUAL_LIMITS",
    "Action",
    "DsnBudget",
    "DsnFacts",
    "DsnLimits",
    "FailedRecipient",
    "Occasion",
    "compose",
    "occasion_of",
    "wants_report",
]


_LIFTED = "TLS-Required: No\r\n"


def compose(
    facts: DsnFacts, recipients: Sequence[FailedRecipient], original: bytes, *, full_copy_limit: int
) -> bytes:
    """Return the report on `recipients`, at least one, of the message `original`.

    A message of more than `full_copy_limit` octets comes back as its header section only.
    """
    assert recipients, "a report is about somebody"
    utf8 = facts.is_utf8
    encoding, form = ("8bit", "global-") if utf8 else ("7bit", "")
    parts = (
        Part(
            content_type=f"text/plain; charset={'utf-8' if utf8 else 'us-ascii'}",
            encoding=encoding,
            body=readable(facts, recipients),
        ),
        Part(
            content_type=f"message/{form}delivery-status",
            encoding=encoding,
            body=machine_readable(facts, recipients),
        ),
        returned(facts, recipients, original, limit=full_copy_limit),
    )
    boundary = _boundary(parts)
    whole = "8bit" if any(part.encoding == "8bit" for part in parts) else "7bit"
    header = _header(facts, subject(recipients), boundary=boundary, encoding=whole)
    mark = f"--{boundary}".encode()
    body = b"".join(mark + b"\r\n" + _octets(part) + b"\r\n" for part in parts)
    return header + b"\r\n" + body + mark + b"--\r\n"


def _header(facts: DsnFacts, title: str, *, boundary: str, encoding: str) -> bytes:
    host = clean_name(facts.reporting_mta)
    return (
        f"From: Mail Delivery System <mailer-daemon@{host}>\r\n"
        f"To: <{clean_address(facts.reverse_path, utf8=facts.is_utf8)}>\r\n"
        f"Subject: {title}\r\n"
        f"Date: {format_datetime(facts.now)}\r\n"
        f"Message-ID: <{clean_name(facts.token)}@{host}>\r\n"
        "Auto-Submitted: auto-replied\r\n"
        f"{_LIFTED if facts.lifts_tls else ''}"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        f'\tboundary="{boundary}"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n"
    ).encode()


def _octets(part: Part) -> bytes:
    header = (
        f"Content-Type: {part.content_type}\r\nContent-Transfer-Encoding: {part.encoding}\r\n\r\n"
    )
    return header.encode() + part.body


def _boundary(parts: Sequence[Part]) -> str:
    """A line that no part holds: it is the hash of them all, which nobody can put inside."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.body)
    return digest.hexdigest()[:48]

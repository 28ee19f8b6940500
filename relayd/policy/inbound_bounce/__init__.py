"""Read mail that comes back: bounces, delays, receipts, complaints and automatic answers.

Owns the order in which the formats are tried, and the result. What a reply means is decided in
`relayd.policy.replies.classify`; whom the mail is about is decided by its VERP address, which beats every
recipient named in here (the caller has it).

Invariants: `parse_bounce` never raises, takes bounded time and memory whatever the bytes, and
gives the same answer for CRLF, LF and CR, and however header fields are folded.

Source: RFC 3464, RFC 3461, RFC 6522, RFC 6533 (reports); RFC 5965 (complaints); RFC 3834 (answers).
"""

from dataclasses import replace

from relayd.policy.inbound_bounce import (
    arf,
    autoreply,
    challenge,
    dsn,
    notices,
    receipt,
    recipients,
    reporters,
    text,
)
from relayd.policy.inbound_bounce.context import Surroundings
from relayd.policy.inbound_bounce.judge import judge
from relayd.policy.inbound_bounce.mime import Mail, read_mail
from relayd.policy.inbound_bounce.report import Report, read_report, report_text
from relayd.policy.inbound_bounce.result import (
    BouncedRecipient,
    Found,
    Kind,
    ParsedBounce,
    Reading,
)
from relayd.policy.replies.ruleset import Rules, builtin_rules

__all__ = ["BouncedRecipient", "Kind", "ParsedBounce", "parse_bounce", "to_json"]

JsonRow = dict[str, str | list[dict[str, str | bool | None]]]


def parse_bounce(raw: bytes, *, rules: Rules | None = None) -> ParsedBounce:
    """Say what a mail is and whom it is about."""
    mail = read_mail(raw)
    reading = _read(mail)
    if reading is None:
        return ParsedBounce(kind=Kind.NOTBOUNCE)
    rules = rules or builtin_rules()
    return ParsedBounce(
        kind=reading.kind,
        recipients=tuple(judge(found, rules) for found in reading.found),
        envelope_id=reading.envelope_id,
        original_message_id=_message_id(mail),
        feedback_type=reading.feedback_type,
    )


def to_json(name: str, parsed: ParsedBounce) -> JsonRow:
    """The line that `relayd parse-bounce` prints for the file `name`."""
    return {
        "id": name,
        "kind": parsed.kind.value,
        "recipients": [
            {
                "address": one.address,
                "status": one.status,
                "category": one.category.value if one.category else None,
                "suppress": one.suppress,
            }
            for one in parsed.recipients
        ],
    }


def _read(mail: Mail) -> Reading | None:
    """Try the formats, from those that say what they are to those that must be guessed."""
    complaint = arf.read_complaint(mail)
    if complaint:
        return complaint
    report = dsn.read_dsn(mail)
    if report and challenge.is_challenge(report, mail):
        return challenge.as_challenge(report)
    if report:
        return _with_text(report, mail)
    return (
        receipt.read_receipt(mail)
        or notices.read_notice(mail)
        or autoreply.read_strong(mail)
        or _read_embedded(mail)
        or challenge.read_challenge(mail)
        or text.read_text(mail)
        or _read_packed(mail)
        or text.read_text(mail, guess=True)
        or autoreply.read_weak(mail)
    )


def _read_embedded(mail: Mail) -> Reading | None:
    """Report fields in plain text: of a program that knows no MIME, or passed on by a person."""
    forwarded = reporters.is_forward(mail)
    if not forwarded and not reporters.comes_from_reporter(mail):
        return None
    words = report_text(mail) if forwarded else read_report(mail).text
    report = dsn.read_embedded(words, forwarded=forwarded)
    return _with_text(report, mail) if report else None


def _read_packed(mail: Mail) -> Reading | None:
    """A gateway may pack a report into a mail of its own that says nothing itself."""
    if not reporters.comes_from_reporter(mail):
        return None
    enclosed = mail.first("message/rfc822")
    if enclosed is None:
        return dsn.read_embedded(report_text(mail), forwarded=False)
    inner = read_mail(enclosed.body)
    return dsn.read_dsn(inner) or text.read_text(inner)


def _with_text(reading: Reading, mail: Mail) -> Reading:
    """Fill in from the text for people what the fields leave out."""
    report, domain = read_report(mail), reporters.domain_of(mail)
    silent = any(not found.diagnostic for found in reading.found)
    blocks = recipients.blocks_of(report) if silent else {}
    said = {address.lower(): words for address, words in blocks.items()}
    alone, around = len(reading.found) == 1, Surroundings(report)
    return replace(
        reading,
        found=tuple(
            _filled(_with_domain(found, domain), said, report, around, alone=alone)
            for found in reading.found
        ),
    )


def _with_domain(found: Found, domain: str | None) -> Found:
    """A local name is one of the reporter's domain."""
    known = domain is None or "@" in found.address
    return found if known else replace(found, address=f"{found.address}@{domain}")


def _filled(
    found: Found, said: dict[str, str], report: Report, around: Surroundings, *, alone: bool
) -> Found:
    if found.action not in ("failed", "delayed"):
        return found
    told = ""
    if not found.diagnostic:
        names = [found.address.lower(), (found.original or "").lower()]
        told = next((said[name] for name in names if name in said), "")
        told = told or (recipients.whole(report.lines) if alone else "")
    diagnostic = found.diagnostic or told
    context = around.of(found.address, diagnostic, alone=alone)
    return replace(found, diagnostic=diagnostic, context=context, is_told=bool(told))


def _message_id(mail: Mail) -> str | None:
    value = read_report(mail).returned.get("message-id")[:998]
    return value if value.startswith("<") and value.isprintable() else None

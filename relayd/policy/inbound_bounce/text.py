"""Read bounces that people were meant to read.

Owns the formats without a machine part: sendmail, qmail and QSBMF, Exim, Postfix before 2.3,
Exchange 5.5, Domino, IMail, MDaemon, Courier, the web mailers and the mail gateways. They differ
in words, hardly in shape: a sentence says that delivery failed, an address stands at the head of a
line or in that sentence, and the reason follows it. So one reader looks for shapes, in order of
trust, and the words are tables in `phrases`.

A mail counts as a bounce only if it comes from a reporter (or says so in its subject), if its own
text, not the returned message, tells of a failure, and if an address can be named.

Source: the mail systems' documentation; for qmail "The qmail-send Bounce Message Format" (QSBMF).
"""

import re

from relayd.policy.inbound_bounce import phrases
from relayd.policy.inbound_bounce.mime import Mail
from relayd.policy.inbound_bounce.recipients import (
    guessed_recipients,
    named_recipients,
)
from relayd.policy.inbound_bounce.report import Report, read_report
from relayd.policy.inbound_bounce.result import Found, Kind, Reading, has_failure_code

_CONTEXT_LIMIT = 2000  # characters
_ACTIONS = {Kind.BOUNCE: "failed", Kind.DELAYED: "delayed", Kind.DELIVERED: "delivered"}
_REPLY_PREFIX = re.compile(r"^\s*(?:re|aw|antw|sv|fwd?|wg|tr|rv)\s*(?:\[\d+\])?:", re.IGNORECASE)
_FORWARD = re.compile(r"^\s*(?:fwd?|wg|tr|rv)\s*:", re.IGNORECASE)
_NULL_PATH = re.compile(r"^\s*(?:<\s*>|<?mailer-daemon(?:@|>|$))", re.IGNORECASE)


def is_forward(mail: Mail) -> bool:
    return bool(_FORWARD.search(mail.headers.decoded("subject")))


def read_text(mail: Mail, *, guess: bool = False) -> Reading | None:
    """Read a bounce by its text; None if it is none.

    With `guess` a recipient that the report does not name is taken from the message that came
    back, or from the VERP address that the report was sent to.
    """
    report = read_report(mail)
    if not _is_report(mail, report):
        return None
    found = (
        guessed_recipients(report, mail.headers)
        if guess
        else named_recipients(report, mail.headers)
    )
    if not found:
        return None
    kind = _kind(f"{mail.headers.decoded('subject')}\n{report.text}")
    return Reading(
        kind=kind,
        found=tuple(
            Found(
                address=address,
                action=_ACTIONS[kind],
                diagnostic=said_of,
                context=report.text[:_CONTEXT_LIMIT],
            )
            for address, said_of in found.items()
        ),
    )


def _kind(text: str) -> Kind:
    if phrases.NOT_YET.search(text):
        return Kind.DELAYED
    arrived = phrases.ARRIVED.search(text) and not phrases.MAIL_FAILED.search(text)
    return Kind.DELIVERED if arrived and not has_failure_code(text) else Kind.BOUNCE


def comes_from_reporter(mail: Mail) -> bool:
    """Its author is a program that reports on mail, going by its header section."""
    sender = mail.headers.decoded("from")
    return is_mail_system(mail) or phrases.REPORTER.search(sender) is not None or _null_path(mail)


def is_mail_system(mail: Mail) -> bool:
    """It says that a mail system wrote it, which neither people nor answering programs do."""
    sender = mail.headers.decoded("from")
    return "x-failed-recipients" in mail.headers or (
        "from" in mail.headers and phrases.MAIL_SYSTEM.search(sender) is not None
    )


def _null_path(mail: Mail) -> bool:
    return any(_NULL_PATH.search(mail.headers.get(n)) for n in ("return-path", "x-envelope-from"))


def _is_report(mail: Mail, report: Report) -> bool:
    """The less the author is known for reports, the more the text must say."""
    text, subject = report.text, _subject_says(mail)
    coded = has_failure_code(text)
    if "x-failed-recipients" in mail.headers:
        return True
    if is_mail_system(mail):
        told = phrases.FAILED.search(text) or phrases.ARRIVED.search(text)
        return subject or coded or told is not None
    mail_failed = phrases.MAIL_FAILED.search(text) is not None
    if comes_from_reporter(mail):
        # Marked as an answer, with nothing of SMTP in it: a postmaster's robot (RFC 3834 §5).
        is_robot = mail.headers.get("auto-submitted").lower().startswith("auto-replied")
        return (subject or mail_failed) and (coded or not is_robot)
    if phrases.LIST_MANAGER.search(mail.headers.decoded("from")):
        return phrases.NOT_A_MEMBER.search(text) is not None
    return subject and mail_failed and bool(report.returned.fields)


def _subject_says(mail: Mail) -> bool:
    subject = mail.headers.decoded("subject")
    return not _REPLY_PREFIX.search(subject) and phrases.SUBJECT.search(subject) is not None

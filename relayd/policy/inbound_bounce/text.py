"""Read bounces that people were meant to read.

Owns the formats without a machine part: sendmail, qmail and QSBMF, Exim, Postfix before 2.3,
Exchange 5.5, Domino, IMail, MDaemon, Courier, the web mailers and the mail gateways. They differ
in words, hardly in shape: a sentence says that delivery failed, an address is at the head of a
line or in that sentence, and the reason follows it. So one reader looks for shapes, in order of
trust, and the words are tables in `phrases`.

A mail counts as a bounce only if it comes from a reporter (or says so in its subject), if its own
text, not the returned message, tells of a failure, and if an address can be named.

Source: the mail systems' documentation; for qmail "The qmail-send Bounce Message Format" (QSBMF).
"""

from relayd.policy.inbound_bounce import phrases, reporters
from relayd.policy.inbound_bounce.context import Surroundings
from relayd.policy.inbound_bounce.mime import Mail
from relayd.policy.inbound_bounce.recipients import (
    guessed_recipients,
    named_recipients,
    names_others,
)
from relayd.policy.inbound_bounce.report import Report, read_report
from relayd.policy.inbound_bounce.result import Found, Kind, Reading, has_failure_code

_FIRST_WORDS = 1000  # characters in which a list manager says what it is about
_ACTIONS = {Kind.BOUNCE: "failed", Kind.DELAYED: "delayed", Kind.DELIVERED: "delivered"}


def read_text(mail: Mail, *, guess: bool = False) -> Reading | None:
    """Read a bounce by its text; None if it is none.

    With `guess` a recipient that the report does not name is taken from the message that came
    back, or from the VERP address that the report was sent to.
    """
    report = read_report(mail)
    if not _is_report(mail, report):
        return None
    found = guessed_recipients(report, mail.headers) if guess else named_recipients(report, mail)
    if not found:
        return None
    kind = _kind(mail.headers.decoded("subject"), report)
    around, is_guess = Surroundings(report), guess and names_others(report, found)
    return Reading(
        kind=kind,
        found=tuple(
            Found(
                address=address,
                action=_ACTIONS[kind],
                diagnostic=said_of,
                context=around.of(address, said_of, alone=len(found) == 1),
                is_guess=is_guess,
            )
            for address, said_of in found.items()
        ),
    )


def _kind(subject: str, report: Report) -> Kind:
    """By the reporter's own words: a final failure may quote the deferral that led to it."""
    own = [line for line in report.lines if not has_failure_code(line)]
    text = " ".join([subject, *own])
    if phrases.NOT_YET.found_in(text) and not phrases.FINAL.found_in(report.text):
        return Kind.DELAYED
    arrived = phrases.ARRIVED.found_in(report.text) and not phrases.tells_of_lost_mail(report.text)
    return Kind.DELIVERED if arrived and not has_failure_code(report.text) else Kind.BOUNCE


def _is_report(mail: Mail, report: Report) -> bool:
    """The less the author is known for reports, the more the text must say."""
    text, subject = report.text, reporters.subject_says_so(mail)
    coded = has_failure_code(text)
    if "x-failed-recipients" in mail.headers:
        return True
    if reporters.is_mail_system(mail):
        told = phrases.FAILED.found_in(text) or phrases.ARRIVED.found_in(text)
        return subject or coded or (told and not phrases.YOUR_MAILBOX.found_in(text))
    lost = phrases.tells_of_lost_mail(text)
    if reporters.comes_from_reporter(mail):
        # Marked as an answer, with nothing of SMTP in it: a postmaster's robot (RFC 3834 §5).
        is_robot = mail.headers.get("auto-submitted").lower().startswith("auto-replied")
        told = lost or (subject and not reporters.is_reply(mail))
        return told and (coded or not is_robot)
    if reporters.comes_from_list_manager(mail):
        return phrases.NOT_A_MEMBER.found_in(text[:_FIRST_WORDS])
    passed_on = reporters.is_reply(mail) or reporters.is_forward(mail)
    returned = bool(report.returned.fields) and not passed_on
    automatic = mail.headers.get("auto-submitted").lower() not in ("", "no")
    return subject and lost and (returned or automatic or reporters.goes_to_bounce_address(mail))

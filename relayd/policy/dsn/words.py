"""The part of a report for people: which address, why, in whose words, and what to do.

Plain English in short lines. What a server said is indented, so that it cannot pass for ours.
"""

from collections.abc import Sequence
from email.utils import format_datetime

from relayd.mail.reply import Stage
from relayd.mail.words import Category
from relayd.policy.dsn.facts import Action, DsnFacts, FailedRecipient
from relayd.policy.dsn.lines import clean_address, clean_line, fold

SUBJECTS: dict[Action, str] = {  # the first one that applies to any recipient
    "failed": "Your message could not be delivered",
    "delayed": "Your message is delayed",
    "relayed": "Your message was passed on",
    "delivered": "Your message was delivered",
}
_OPENINGS: dict[Action, str] = {
    "failed": "Your message could not be delivered to the following, and will not be tried again:",
    "delayed": "Your message has not reached the following yet. We keep trying: please do not"
    " send it again.",
    "relayed": "Your message was passed on for the following, to a server that does not report"
    " what becomes of it:",
    "delivered": "Your message was accepted by the mail server of the following:",
}
_DOUBTFUL_SUBJECT = "It is not known whether your message was delivered"
_DOUBTFUL = (
    "It is not known whether your message reached the following. It will not be tried again:"
)
_ASK_FIRST = (
    "The message may have arrived: a server had all of it, and the connection ended before it said"
    " whether it takes it. Ask the recipient before you send it again: it may come twice."
)
_ADDRESS = "Check the address for mistakes, or ask the recipient for the right one."
_DOMAIN = "Check what is after the @ for mistakes. If it is right, send it again later."
_SENDER = "Your own sender address was refused. Tell your administrator."
_LATER = "Send it again later. If it fails again, tell your administrator."
_UNMAILED = (
    "Reports like this one that were not mailed to you lately, because there were too many at once: {}."
    " Your administrator can look up what became of those messages."
)
# What the status says of the message (RFC 3463 §3), whichever command it answers; the first that fits.
_ADVICE = (
    ("2.2", "The mailbox is full. Send it again when the recipient has made room."),
    ("2.", "The mailbox cannot be used. Try to reach the recipient in another way."),
    ("3.4", "The message is too large. Send less, or a link instead of a file."),
    ("4.", _LATER),
    ("6.", "The server cannot take a message of this form. Tell your administrator."),
    ("7.", "The server objects to the message, hardly to the address. Tell your administrator."),
    ("", "If it matters, tell your administrator what the server said."),
)


def subject(recipients: Sequence[FailedRecipient]) -> str:
    if all(_is_doubtful(one) for one in recipients):
        return _DOUBTFUL_SUBJECT
    actions = {one.action for one in recipients}
    return next(words for action, words in SUBJECTS.items() if action in actions)


def _is_doubtful(one: FailedRecipient) -> bool:
    return one.action == "failed" and one.possible_duplicate


def readable(facts: DsnFacts, recipients: Sequence[FailedRecipient]) -> bytes:
    """The text, lines ending in CRLF."""
    host = clean_line(facts.reporting_mta, utf8=facts.is_utf8)
    lines = fold("", f"This is the mail system of {host}.", indent="")
    groups = [(_DOUBTFUL, [one for one in recipients if _is_doubtful(one)])]
    for action, opening in _OPENINGS.items():
        those = [one for one in recipients if one.action == action and not _is_doubtful(one)]
        groups.append((opening, those))
    for opening, those in groups:
        if those:
            lines += ["", *fold("", opening, indent="")]
        for one in those:
            lines += ["", *_about(one, utf8=facts.is_utf8)]
    received = (
        f"We received the message on {format_datetime(facts.received_at)}; its number here is"
    )
    queue_id = clean_line(facts.queue_id, utf8=facts.is_utf8)
    lines += ["", *fold("", f"{received} {queue_id}.", indent="")]
    if facts.unmailed:
        lines += ["", *fold("", _UNMAILED.format(facts.unmailed), indent="")]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _about(one: FailedRecipient, *, utf8: bool) -> list[str]:
    lines = [f"<{clean_address(one.address, utf8=utf8)}>"]
    if one.reply is not None:
        host = clean_line(one.remote_host or "", utf8=utf8)
        who = f"The server {host} said:" if host else "The server said:"
        lines += fold("    ", who, indent="    ")
        lines += fold("        ", clean_line(str(one.reply), utf8=utf8), indent="        ")
    if reason := clean_line(one.reason, utf8=utf8):
        lines += fold("    Reason: ", reason, indent="        ")
    lines.append(f"    Last attempt: {format_datetime(one.last_attempt_at)}")
    if one.action == "delayed" and one.will_retry_until is not None:
        lines.append(f"    We keep trying until: {format_datetime(one.will_retry_until)}")
    if one.action == "failed":
        lines += fold("    What to do: ", _advice(one), indent="        ")
    return lines


def _advice(one: FailedRecipient) -> str:
    """What fits the cause, and the command that it answers: only RCPT and the DNS know addresses."""
    if one.possible_duplicate:
        return _ASK_FIRST
    detail = one.status.partition(".")[2]
    if one.category is Category.SENDER_CONFIG or detail in ("1.7", "1.8"):
        return _SENDER
    if one.stage is Stage.CONNECT and one.is_direct and detail[:2] == "4.":
        return _DOMAIN
    of_address = one.category is Category.BAD_MAILBOX or detail[:2] == "1."
    if of_address and one.stage in (Stage.CONNECT, Stage.RCPT):
        return _ADDRESS
    return next(words for starts, words in _ADVICE if detail.startswith(starts))

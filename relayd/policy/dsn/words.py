"""The part of a report for people: which address, why, in whose words, and what to do.

Plain English in short lines. What a server said is indented, so that it cannot pass for ours.
"""

from collections.abc import Sequence
from email.utils import format_datetime

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
# Subject and detail of the status (RFC 3463 §3); the first that fits.
_ADVICE = (
    (("1.7", "1.8"), "Your own sender address was refused. Tell your administrator."),
    (("1.",), "Check the address for mistakes, or ask the recipient for the right one."),
    (("2.2",), "The mailbox is full. Send it again when the recipient has made room."),
    (("2.",), "The mailbox cannot be used. Try to reach the recipient in another way."),
    (("3.4",), "The message is too large. Send less, or a link instead of a file."),
    (("4.",), "Check what stands behind the @ for mistakes. If it is right, send it again later."),
    (("6.",), "The server cannot take a message of this form. Tell your administrator."),
    (("7.",), "The server objects to the message, hardly to the address. Tell your administrator."),
    (("",), "If it matters, tell your administrator what the server said."),
)


def subject(recipients: Sequence[FailedRecipient]) -> str:
    actions = {one.action for one in recipients}
    return next(words for action, words in SUBJECTS.items() if action in actions)


def readable(facts: DsnFacts, recipients: Sequence[FailedRecipient]) -> bytes:
    """The text, lines ending in CRLF."""
    host = clean_line(facts.reporting_mta, utf8=facts.is_utf8)
    lines = fold("", f"This is the mail system of {host}.", indent="")
    for action, opening in _OPENINGS.items():
        those = [one for one in recipients if one.action == action]
        if those:
            lines += ["", *fold("", opening, indent="")]
        for one in those:
            lines += ["", *_about(one, utf8=facts.is_utf8)]
    received = (
        f"We received the message on {format_datetime(facts.received_at)}; its number here is"
    )
    queue_id = clean_line(facts.queue_id, utf8=facts.is_utf8)
    lines += ["", *fold("", f"{received} {queue_id}.", indent="")]
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
        lines += fold("    What to do: ", _advice(one.status), indent="        ")
    return lines


def _advice(status: str) -> str:
    detail = status.partition(".")[2]
    return next(words for starts, words in _ADVICE if detail.startswith(starts))

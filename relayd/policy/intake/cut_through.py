"""What a client is told that waits for the next hop (`listen.cut_through`): its own words, or ours.

Owns which message a client may wait for, and the reply that follows from what became of the first attempt. The
message is in the queue by then, whatever the reply: so one in doubt is `250`, and the queue goes on.

A refusal is told twice at most, never not at all. Its report to the sender is stored with it, but leaves
`REPORT_AFTER` later only, unless the client shows before that it has read its reply.

Sources: RFC 5321 §4.2.5 (who answers 250 has the message), §3.6.2 (a relay has to report what it gives up).
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from relayd.mail.content import Content
from relayd.mail.envelope import MessageFacts
from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.mail.words import Detail, EventKind

REPORT_AFTER = timedelta(minutes=5)
TOLD = "the client was told in its session"
_WORDS_LIMIT = 400  # octets of a reply that are another server's, or ours in the place of them
_NULL_MX = "5.1.10"  # RFC 7504 has a code of its own for it
_CODE = re.compile(r"[2-5][0-9]{2} ?(?:[245]\.[0-9]{1,3}\.[0-9]{1,3} )?")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client is told at last."""

    line: bytes  # without its CRLF
    report: MessageId | None = None  # which is not needed once the client has read this


def may_wait(recipients: int, content: Content, facts: MessageFacts) -> bool:
    """Tell whether the reply to a message can be the next hop's: one recipient, in memory, no test."""
    return recipients == 1 and isinstance(content, bytes) and not facts.is_test


def queued(message_id: MessageId) -> Answer:
    """Return what is told when nothing is decided yet."""
    return Answer(line=b"250 2.0.0 OK queued as %b" % format_id(message_id).encode())


def is_decided(kind: EventKind) -> bool:
    """Tell whether an event is what a client waits for; those on the way to it are not."""
    return kind in (EventKind.SENT, EventKind.RELAYED, EventKind.BOUNCED, EventKind.DEFERRED)


def answer_to(message_id: MessageId, kind: EventKind, detail: Detail) -> Answer:
    """Return what is told of an event that decides, given with its fields in the status log."""
    words = _words(str(detail.get("reply", "")))
    if kind in (EventKind.SENT, EventKind.RELAYED):
        line = f"250 2.0.0 sent as {format_id(message_id)}: {words}"
        return Answer(line=_line(line.removesuffix(": ")))
    if kind is not EventKind.BOUNCED:
        return queued(message_id)
    report = detail.get("report")
    return Answer(
        line=_line(f"{_refusal(detail)} {_whose(detail, words)}"),
        report=None if report is None else parse_id(str(report)),
    )


def _refusal(detail: Detail) -> str:
    """Return the codes of a refusal that is final, whatever the other server thinks of it."""
    enhanced = str(detail.get("enhanced") or "5.0.0")
    enhanced = f"5{enhanced[1:]}"
    code = detail.get("code")
    if code is None:
        return f"{556 if enhanced == _NULL_MX else 550} {enhanced}"
    return f"{code if 500 <= int(str(code)) < 600 else 554} {enhanced}"


def _whose(detail: Detail, words: str) -> str:
    if words and (host := detail.get("remote_host")):
        return f"{host} said: {words}"
    return str(detail.get("reason", ""))


def _words(reply: str) -> str:
    """Return the text of a reply without its codes."""
    return _CODE.sub("", reply, count=1)


def _line(text: str) -> bytes:
    """Return it as a line of ours may be: printable ASCII of a bounded length (S-48)."""
    return _NOT_PRINTABLE.sub("?", text)[:_WORDS_LIMIT].rstrip().encode("ascii")

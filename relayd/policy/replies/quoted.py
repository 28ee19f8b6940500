"""Which reply a text is about, where it holds more than one, and which command it answers.

Owns the forms in which mail servers quote each other. A gateway or a callout puts words of its own
around the reply that it got; the record of a pipelined session goes on with what the server said to
the commands after the one that failed; reports name the command only in the text for people. What
a reply means is `relayd.policy.replies.classify`'s.

Source: RFC 5321 §4.2, RFC 2920 §3.1; the forms are those of Postfix, Exim, sendmail, qmail,
Courier, Exchange Online, Gmail, IronPort and Barracuda.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from relayd.mail.reply import Stage

_FIRST = 4  # its own code is no second one
_INNER = re.compile(r"[\s'\":;>=(][245][0-9][0-9][ -]")
_REPLY = r"[\s'\"]{0,3}(?=[245][0-9][0-9][ -])"
# Words that announce a reply; a colon alone does so only in a text that is no reply itself, since a
# reply may be folded after any colon ("smtp; 550 ..." is the form of RFC 3464 §2.3.6).
_QUOTE = re.compile(
    r"(?:\b(?:said|replied|answered|response|responded|returned|was|reply|error|problem)(?: with)?\s?:?"
    r"|->|<<<|\bled="
    r"|\([^\s()<>@]{1,64}@[^\s()<>@:]{1,255}:)" + _REPLY
)
_ENDS_LINE = re.compile(r"[a-z](?:[\r\n\t]|\s\s)\s*$")  # IronPort quotes behind a single space
_COLON = re.compile(r"[:;]" + _REPLY)
# What a server says to the commands that follow a refused RCPT.
_FOLLOW_ON = re.compile(r"\s(50[0-9]|554)[ -]")
_OUT_OF_SEQUENCE = re.compile(
    r"\b(?:need rcpt|rcpt first|rcpt command|need recipient|no (?:valid )?recipients|sequence)"
)
_NEAR = 60  # characters between such a code and its words, no address among them
_ADDRESS_MARK = re.compile(r"[@<>]")
_OTHER = re.compile(r"\s([45][0-5][0-9])[ -](?=[a-z0-9<])")
_LEADS = ("reply to", "response to", "after", "sending", "during", ">>>", "[data", "[rcpt", "[mail")
_COMMAND = re.compile(
    r"(?:\b(?:reply to|response to|after|sending|during)|>>>)\s?"
    r"(?:the |pipelined |sending |our |my ){0,2}"
    r"(end of (?:mail |message )?data|final data|data|rcpt|mail[ _]from|ehlo|helo|starttls|auth)\b"
    r"|\[(data|rcpt|mail)(?:[ _](?:to|from))?\]"
)
_COMMANDS = {
    "data": Stage.DATA,
    "rcpt": Stage.RCPT,
    "mail": Stage.MAIL,
    "mail from": Stage.MAIL,
    "mail_from": Stage.MAIL,
    "ehlo": Stage.EHLO,
    "helo": Stage.EHLO,
    "starttls": Stage.STARTTLS,
    "auth": Stage.AUTH,
}
_SENTENCES = {
    "sent the message": Stage.DOT,
    "sending the message": Stage.DOT,
    "like our final data": Stage.DOT,
    "like recipient": Stage.RCPT,
    "sender was rejected": Stage.MAIL,
    "name was rejected": Stage.EHLO,
    "refused to talk to me": Stage.GREETING,
    "initial connection": Stage.GREETING,
    "initial greeting": Stage.GREETING,
    "initial server greeting": Stage.GREETING,
    "greeting failed": Stage.GREETING,
}
# A record names as stage the command at which its client noticed, and that may be a later one.
_NOTICED_LATER = (None, Stage.DATA, Stage.EHLO)
_OPEN = (None, Stage.RCPT)


@dataclass(frozen=True, slots=True)
class Reading:
    """One reply, as it is told."""

    text: str  # without what the server said to later commands
    stage: Stage | None  # of the command that was answered
    quoted: str = ""  # the innermost reply that it quotes, code first

    @property
    def quoted_code(self) -> int:
        """The code of the reply that is quoted; 0 where none is."""
        return int(self.quoted[:3]) if self.quoted else 0


def read(text: str, code: int, stage: Stage | None) -> Reading:
    """Find the reply in `text`.

    `code` is that of the reply itself, 0 where it has none; `stage` is where it was given. What the
    text says of another command counts for more than RCPT, and never turns another stage into it.
    """
    low = text.lower()
    if len(low) != len(text):  # some letters become two
        low = text
    first = start = end = 0
    if _INNER.search(low, _FIRST):  # else it is one reply
        end = _end_of_reply(low, code)
        if end:
            first = _last_reply(low[:end], code) if code else 0
            text, low = text[first:end], low[first:end]
        start = _start_of_quoted(low, code)
    if end:
        stage = Stage.RCPT if stage in _NOTICED_LATER else stage
    elif stage in _OPEN:
        stage = _stage_in(low) or stage
    return Reading(text, stage, text[start:] if start or first else "")


def _start_of_quoted(low: str, code: int) -> int:
    """Where the innermost quoted reply begins; 0 where none is quoted."""
    own_line = (
        f"{code}-"  # the next line of the reply itself, behind a word that only looks like it
    )
    marks = [
        mark.end()
        for mark in _QUOTE.finditer(low)
        if not (low.startswith(own_line, mark.end()) and _ENDS_LINE.search(mark[0]))
    ]
    if not code:
        marks += [mark.end() for mark in _COLON.finditer(low)]
    return max(marks, default=0)


def _holds(low: str, words: Iterable[str]) -> str:
    """The first of `words` in the text, or nothing: most texts hold none, and need no pattern."""
    for word in words:  # a generator would take twice as long
        if word in low:
            return word
    return ""


def _end_of_reply(low: str, code: int) -> int:
    """Where the replies to later commands begin; 0 where there are none."""
    words = [found.start() for found in _OUT_OF_SEQUENCE.finditer(low)]
    if not words:
        return 0
    for later in _FOLLOW_ON.finditer(low):
        begin = later.end()
        nearest = bisect_left(words, begin)
        if (
            int(later[1]) != code
            and nearest < len(words)
            and words[nearest] - begin <= _NEAR
            and not _ADDRESS_MARK.search(low, begin, words[nearest])
        ):
            return later.start()
    return 0


def _last_reply(low: str, code: int) -> int:
    """Where the last of several replies begins, the one to RCPT; 0 where all are one reply."""
    found = [other.start(1) for other in _OTHER.finditer(low) if int(other[1]) != code]
    return found[-1] if found else 0


def _stage_in(low: str) -> Stage | None:
    if _holds(low, _LEADS) and (command := _COMMAND.search(low)):
        return _COMMANDS.get(command[1] or command[2], Stage.DOT)
    return _SENTENCES.get(_holds(low, _SENTENCES))

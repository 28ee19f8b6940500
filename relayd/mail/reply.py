"""SMTP replies: the three-digit code, the enhanced status code, every text line.

Owns the types and the pure reading of reply text. Who reads from a socket cleans the text first
with `clean_text`, so that a `Reply` never carries control characters.

Source: RFC 5321 §4.2, RFC 3463.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from relayd.errors import RelaydError
from relayd.mail.text import blanked

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?:\s|$)", re.ASCII)
REPLY_TEXT_LIMIT = 4096  # characters kept of one reply


class Stage(StrEnum):
    """Where in an SMTP session something happened."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply. `lines` holds the text of each line without code and separator."""

    code: int
    enhanced: str | None
    lines: tuple[str, ...]

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_transient(self) -> bool:
        """First digit 4, no judgement."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """First digit 5, no judgement."""
        return 500 <= self.code < 600

    @property
    def text(self) -> str:
        """The text lines joined by blanks, enhanced codes included as the server wrote them."""
        return " ".join(self.lines)

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


class SyntaxRefused(RelaydError):
    """Our parser refused what a client sent; carries the reply to give."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(str(reply))


def make_reply(code: int, lines: tuple[str, ...]) -> Reply:
    """Build a reply; the enhanced code is read off the first line that has one."""
    found = _ENHANCED.match(lines[0]) if lines else None
    return Reply(code, found.group(1) if found else None, lines)


def clean_text(raw: bytes, *, limit: int = REPLY_TEXT_LIMIT) -> str:
    """Decode what a stranger sent into text that is safe to store, log and show.

    Invalid UTF-8 becomes backslash escapes; characters that are not shown (`relayd.mail.text`)
    become one blank; at most `limit` characters are kept.
    """
    return blanked(raw[: limit * 4].decode("utf-8", "backslashreplace"))[:limit]

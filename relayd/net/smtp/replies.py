"""Replies of a next hop: from octets to `Reply`, in one pass.

Owns the grammar and the bounds. Which reply belongs to which command, and what one too many
means, is the business of `protocol`.

Every line of a reply must carry the same code: a reply is never judged by its last line alone.
A missing text and a line that ends in a bare LF or in CR CR LF are tolerated; everything else that departs from
the grammar is an error, because a guess could turn a refusal into a success (A-45).

Many servers repeat the reverse-path. The token of a VERP address is masked here, so that a reader of
a reply, a report on it or the history does not learn it.

Source: RFC 5321 §4.2.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from relayd.errors import ReplySyntaxError
from relayd.mail.reply import REPLY_TEXT_LIMIT, Reply, clean_text, make_reply
from relayd.policy.verp import masked

REPLY_LIMIT = 32 * 1024  # octets of one reply on the wire

# RFC 5321 §4.2:  Reply-line = *( Reply-code "-" [ textstring ] CRLF )
#                              Reply-code [ SP textstring ] CRLF
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r]*))?\r*")
_SHORT = 100  # octets of a line that is worth remembering


class ReplyReader:
    """Fed with what arrives; hands out replies as they become complete."""

    __slots__ = ("_code", "_octets", "_texts", "rest")

    def __init__(self) -> None:
        self.rest = b""  # a line that has not ended
        self._texts: list[bytes] = []  # of a reply whose last line is still to come
        self._code = b""
        self._octets = 0

    def read(self, data: bytes) -> Iterator[Reply]:
        """Yield the replies that `data` completes. Raises ReplySyntaxError, and is done for then."""
        if self.rest:
            data = self.rest + data
        *lines, self.rest = data.split(b"\n")
        for line in lines:
            reply = self._read_line(line)
            if reply is not None:
                yield reply
        if self.rest:
            self._check_rest()

    def _read_line(self, line: bytes) -> Reply | None:
        found = _REPLY_LINE.fullmatch(line)
        if found is None:
            raise ReplySyntaxError(f"malformed reply: {masked(clean_text(line, limit=100))}")
        code, separator, text = found.groups(b"")
        if not self._texts and separator != b"-":
            if len(line) <= _SHORT:
                return _short_reply(code, text)
            self._count(len(line))
            self._octets = 0
            return _make(code, [text])
        if self._texts and code != self._code:
            codes = f"{self._code.decode()} and {code.decode()}"
            raise ReplySyntaxError(f"one reply with the codes {codes}")
        self._code = code
        self._count(len(line))
        self._texts.append(text)
        if separator == b"-":
            return None
        texts, self._texts, self._octets = self._texts, [], 0
        return _make(code, texts)

    def _count(self, octets: int) -> None:
        self._octets += octets
        if self._octets > REPLY_LIMIT:
            raise ReplySyntaxError(f"reply longer than {REPLY_LIMIT} octets")

    def _check_rest(self) -> None:
        """Refuse early what no further octet can fix."""
        if self._octets + len(self.rest) > REPLY_LIMIT:
            raise ReplySyntaxError(f"reply longer than {REPLY_LIMIT} octets")
        if b"\r" in self.rest.rstrip(b"\r"):
            raise ReplySyntaxError("reply line that ends in a bare CR")


def _make(code: bytes, texts: Sequence[bytes]) -> Reply:
    """Build a reply of cleaned lines, at most 4 KiB of text in all (A-47)."""
    lines, room = [], REPLY_TEXT_LIMIT
    for text in texts:
        shown = _known_text(text) if len(text) <= _SHORT else _text(text)
        lines.append(shown[:room])
        room -= len(lines[-1]) + 1
        if room <= 0:
            break
    return make_reply(int(code), tuple(lines))


def _text(octets: bytes) -> str:
    return masked(clean_text(octets))


_known_text = lru_cache(maxsize=512)(_text)  # servers of one make offer the same in EHLO


@lru_cache(maxsize=512)
def _short_reply(code: bytes, text: bytes) -> Reply:
    """Most replies are one of a few short lines, heard thousands of times a second."""
    return _make(code, [text])

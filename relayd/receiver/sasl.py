"""What a client sends for AUTH, as values or a refusal.

Source: RFC 4954 §4; RFC 4616 (PLAIN). LOGIN has no standard; what clients do is draft-murchison-sasl-login.
"""

import base64
import binascii
from dataclasses import dataclass

from relayd.mail.reply import Reply, SyntaxRefused

CANCELLED = Reply(501, "5.7.0", ("5.7.0 Authentication cancelled",))
MALFORMED = Reply(501, "5.5.2", ("5.5.2 Cannot decode the response",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    user: str
    password: str
    acts_as: str = ""  # the authorization identity; empty: the user's own

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, password=***)"


def decode_initial(word: bytes) -> bytes:
    """Read an initial response; "=" is an empty one. Raises SyntaxRefused."""
    return b"" if word == b"=" else _decode(word)


def decode_response(line: bytes) -> bytes:
    """Read the answer to a challenge. Raises SyntaxRefused."""
    if line == b"*":
        raise SyntaxRefused(CANCELLED)
    return _decode(line)


def parse_plain(message: bytes) -> Credentials:
    """Read a message of PLAIN. Raises SyntaxRefused."""
    words = message.split(b"\0")
    if len(words) != 3:
        raise SyntaxRefused(MALFORMED)
    acts_as, user, password = map(parse_text, words)
    return Credentials(user=user, password=password, acts_as=acts_as)


def parse_text(octets: bytes) -> str:
    """Read a name or a password. Raises SyntaxRefused."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise SyntaxRefused(MALFORMED) from None
    if "\0" in text:
        raise SyntaxRefused(MALFORMED)
    return text


def _decode(word: bytes) -> bytes:
    if len(word) % 4 or word.endswith(b"==="):  # the library overlooks padding behind the end
        raise SyntaxRefused(MALFORMED)
    try:
        return base64.b64decode(word, validate=True)
    except binascii.Error:
        raise SyntaxRefused(MALFORMED) from None

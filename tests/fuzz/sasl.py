"""What clients send for AUTH against a slow reference of base64 and PLAIN."""

import base64
from collections.abc import Callable
from string import ascii_lowercase, ascii_uppercase, digits

from relayd.mail.reply import SyntaxRefused
from relayd.receiver import sasl

TOKENS = (
    *(b"=", b"==", b"===", b"*", b"AA==", b"AAA=", b"AAAA", b"AGFwcABodW50ZXIy", b"AB==", b"\0"),
    *(b"\0app\0hunter2", b"a\0b\0c", b"+", b"/", b"-", b"_", b" ", b"\xc3\xbc", b"\xff", b"\n"),
)
_ALPHABET = ascii_uppercase + ascii_lowercase + digits + "+/"


def check(octets: bytes) -> None:
    response = _tried(sasl.decode_response, octets)
    expected = sasl.CANCELLED if octets == b"*" else _slow_base64(octets)
    assert response == (sasl.MALFORMED if expected is None else expected)
    initial = _tried(sasl.decode_initial, octets)
    assert initial == (b"" if octets == b"=" else sasl.MALFORMED if octets == b"*" else response)
    for message in {octets, response}:
        if isinstance(message, bytes):
            _check_message(message)
    assert _tried(sasl.decode_response, base64.b64encode(octets)) == octets


def _check_message(message: bytes) -> None:
    """The decoder of PLAIN takes three texts, and what it took is written as it was."""
    found = _tried(sasl.parse_plain, message)
    fits = message.count(b"\0") == 2 and _is_utf8(message)
    assert isinstance(found, sasl.Credentials) if fits else found == sasl.MALFORMED
    if isinstance(found, sasl.Credentials):
        assert f"{found.acts_as}\0{found.user}\0{found.password}".encode() == message
    is_text = _is_utf8(message) and b"\0" not in message
    assert _tried(sasl.parse_text, message) == (message.decode() if is_text else sasl.MALFORMED)


def _tried(read: Callable[[bytes], object], octets: bytes) -> object:
    try:
        return read(octets)
    except SyntaxRefused as refused:
        return refused.reply


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


def _slow_base64(octets: bytes) -> bytes | None:
    """RFC 4648 §4, bit by bit; bits that fill up may be anything (§3.5 leaves that open)."""
    text = octets.decode("latin-1")
    bare = text.rstrip("=")
    if len(text) % 4 or len(text) - len(bare) > 2 or not set(bare) <= set(_ALPHABET):
        return None
    bits = "".join(f"{_ALPHABET.index(char):06b}" for char in bare)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))

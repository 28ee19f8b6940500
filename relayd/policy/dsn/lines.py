"""Make anything fit a line of a report.

Owns the cleaning of what others said: one line, printable, and ASCII unless the report is
internationalized. A line made here holds no CR, LF or NUL and at most 998 octets, whatever came in.

Source: RFC 5322 §2.1.1, §2.2.3 (lines, folding); RFC 3461 §4 (xtext); RFC 6533 §3 (utf-8 addresses).
"""

import re
import textwrap
from functools import lru_cache

from relayd.mail.reply import clean_text

TEXT_LIMIT = 1000  # characters kept of what others said, so that reports stay small
_WIDTH = 76
_WORD_LIMIT = 200  # characters of a word; four octets each still fit a line
_ADDRESS_LIMIT = 960  # octets, so that a line holds it; no address in ASCII or UTF-8 is longer
_LONG_WORD = re.compile(rf"(\S{{{_WORD_LIMIT}}})(?=\S)")
_BEYOND_ASCII = re.compile(r"[^\x20-\x7e]")
_BEYOND_QCHAR = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_XTEXT = re.compile(rb"\+([0-9A-F]{2})")
_TYPED = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,30});(.+)", re.DOTALL)
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@lru_cache(maxsize=256)  # each is in both parts of a report, and many recipients get the same
def clean_line(text: str, *, utf8: bool) -> str:
    r"""One printable line of at most TEXT_LIMIT characters; `\x{20AC}` stands for the euro sign."""
    line = " ".join(_printable(text[: 2 * TEXT_LIMIT]).split())[:TEXT_LIMIT]
    return (line if utf8 else _BEYOND_ASCII.sub(_embed, line))[:TEXT_LIMIT]


def clean_address(address: str, *, utf8: bool) -> str:
    """The address as it is, blanks in quotes included, as far as one line can hold it."""
    line = _printable(address).strip()
    if not utf8 and not line.isascii():
        line = _BEYOND_QCHAR.sub(_embed, line)
    return line.encode()[:_ADDRESS_LIMIT].decode(errors="ignore")


def clean_name(name: str) -> str:
    """A name of ours for use inside a Message-ID or an address: letters, digits, `.`, `_`, `-`."""
    return _NO_NAME.sub("-", name[:TEXT_LIMIT])[:200].strip(".-") or "unknown"


def typed_address(address: str, *, utf8: bool) -> str:
    """The address with its type, for Final-Recipient."""
    kind = "rfc822" if _printable(address).isascii() else "utf-8"
    return f"{kind}; {clean_address(address, utf8=utf8)}"


def original_address(orcpt: str, *, utf8: bool) -> str | None:
    """The value of ORCPT for Original-Recipient, decoded; None if it is none."""
    typed = _TYPED.fullmatch(orcpt)
    if typed is None:
        return None
    kind, value = typed.groups()
    is_utf8 = kind.lower() == "utf-8"
    decoded = _EMBEDDED.sub(_point, value) if is_utf8 else decode_xtext(value)
    cleaned = clean_address(decoded, utf8=utf8)
    return f"{kind}; {cleaned}" if cleaned else None


def decode_xtext(text: str) -> str:
    return xtext_octets(text).decode("utf-8", "backslashreplace")


def xtext_octets(text: str) -> bytes:
    octets = text.encode("utf-8", "surrogatepass")
    return _XTEXT.sub(lambda found: bytes([int(found[1], 16)]), octets)


def fold(head: str, text: str, *, indent: str) -> list[str]:
    """`head` and `text` as lines of about 76 characters; `indent` begins all but the first."""
    lines = textwrap.wrap(
        _LONG_WORD.sub(r"\1 ", text),
        _WIDTH,
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [head.rstrip()]


def _printable(text: str) -> str:
    return clean_text(text.encode("utf-8", "surrogatepass"))


def _embed(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):02X}}}"


def _point(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    return chr(point) if point < 0xD800 or 0xDFFF < point <= 0x10FFFF else found[0]

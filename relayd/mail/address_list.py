"""The addresses of a To, Cc or Bcc field, or of a command line.

Owns the list and what surrounds an address in it: names, comments, groups, folding. The address
itself is `address.parse_address`'s. What is not certainly an address is refused, so that no part of
it becomes another recipient (HC-04); for the same reason no obsolete form of RFC 5322 §4.4 is read.

Source: RFC 5322 §3.2.2 (comments), §3.4 (address lists, groups).
"""

import re
from collections.abc import Iterator

from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.reply import clean_text

_QUOTED = r'"(?>(?:[^"\\]++|\\.)*)"'
_TOKEN = re.compile(
    rf"""(?P<blank>[ \t\r\n]+)
    | (?P<word>{_QUOTED} | \[[^\[\]\\]*+\] | [^ \t\r\n"\[\](),:;<>]+)
    | <[ \t\r\n]*+(?P<angle>(?>(?:{_QUOTED} | [^"<>]++)*))>
    | (?P<sign>[(,:;])""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"(?>(?:[^()\\]++|\\.)*)([()])", re.DOTALL)
_SHOWN = 100  # octets of what cannot be read


def parse_addresses(text: str) -> list[Address]:
    """Return the addresses in their order; a name without a domain has the domain "".

    Raises PathError that names what it cannot read.
    """
    found: list[Address] = []
    words, angle, in_group = "", None, False
    for kind, part in _parts(text):
        if kind == "word" and angle is None:
            words += part
        elif kind == "angle" and angle is None:
            angle = part
        elif kind == ":" and angle is None and not in_group:
            words, in_group = "", True  # the group's name
        elif kind == "," or (kind == ";" and in_group):
            found += _address(words, angle)
            words, angle, in_group = "", None, in_group and kind == ","
        elif part != " ":
            raise _unreadable(text)
    if in_group:
        raise _unreadable(text)
    return found + _address(words, angle)


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and text: words, with blanks and comments as a blank; angle brackets; signs."""
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise _unreadable(text[at:])
        at, kind = token.end(), token.lastgroup
        if token["sign"] == "(":
            at = _end_of_comment(text, at)
            yield "word", " "
        elif kind == "blank":
            yield "word", " "
        else:
            yield token["sign"] or f"{kind}", token[f"{kind}"]


def _end_of_comment(text: str, at: int) -> int:
    """Find the end of the comment that `at` is inside of; comments nest."""
    start, depth = at, 1
    while depth:
        found = _COMMENT.match(text, at)
        if found is None:
            raise _unreadable(text[start - 1 :])
        at, depth = found.end(), depth + (1 if found[1] == "(" else -1)
    return at


def _address(words: str, angle: str | None) -> list[Address]:
    """Read what stood between two commas; nothing is no address."""
    written = words.strip(" ") if angle is None else angle.strip(" \t\r\n")
    if not written and angle is None:
        return []
    try:
        if "@" in written:
            return [parse_address(written)]
        return [Address(parse_address(f"{written}@x").local, "")]
    except PathError as error:
        raise _unreadable(written, f": {error}") from None


def _unreadable(text: str, why: str = "") -> PathError:
    shown = clean_text(text.encode("utf-8", "backslashreplace"), limit=_SHOWN)
    return PathError(f"cannot read an address in {shown!r}{why}")

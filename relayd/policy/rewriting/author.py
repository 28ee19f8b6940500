"""From with another address: names and comments of its authors stay as they were written.

Where what is there cannot be read with certainty, nothing of it is kept (HC-04).

Source: RFC 5322 §3.4 (mailboxes, groups), §3.6.2 (From); RFC 6854 (groups in From).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from relayd.mail.address import Address, PathError, parse_address

_QUOTED = rb'"(?>(?:[^"\\]++|\\.)*)"'
_TOKEN = re.compile(
    rb"""(?P<blank>[ \t\r\n]++)
    | (?P<word>%b | \[[^\[\]\\]*+\] | [^ \t\r\n"\[\](),:;<>]++)
    | <[ \t\r\n]*+(?P<angle>(?>(?:%b | [^"<>]++)*))>
    | (?P<comment>\()
    | (?P<sign>[,:;])"""
    % (_QUOTED, _QUOTED),
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(rb"(?>(?:[^()\\]++|\\.)*)([()])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Mailbox:
    address: Address
    start: int  # of the octets that are the address
    end: int
    piece: tuple[int, int]  # from one comma to the next


class _Unreadable(ValueError):
    pass


def addresses(value: bytes) -> list[Address] | None:
    """Return the addresses of a From field; None: it cannot be read."""
    try:
        return [each.address for each in _mailboxes(value)]
    except _Unreadable:
        return None


def with_address(value: bytes, address: Address) -> bytes:
    """Return a From field of one author: the first one's name with `address`."""
    try:
        found = next(iter(_mailboxes(value)), None)
    except _Unreadable:
        found = None
    fresh = str(address).encode()
    if found is None:
        return b"<" + fresh + b">"
    start, end = found.piece
    return (value[start : found.start] + fresh + value[found.end : end]).strip()


def with_domains(value: bytes, other: Callable[[Address], Address]) -> bytes:
    """Return a From field with what `other` gives for each address; what cannot be read stays."""
    try:
        found = _mailboxes(value)
    except _Unreadable:
        return value
    for each in reversed(found):
        fresh = other(each.address)
        if fresh != each.address:
            value = value[: each.start] + str(fresh).encode() + value[each.end :]
    return value


def _mailboxes(value: bytes) -> list[_Mailbox]:
    """Return all mailboxes, those in groups too. Raises _Unreadable."""
    found: list[_Mailbox] = []
    piece, words, angle, is_open = 0, list[tuple[int, int]](), None, False
    for kind, start, end in (*_tokens(value), ("end", len(value), len(value))):
        if kind == "word" and angle is None:
            words.append((start, end))
        elif kind == "angle" and angle is None:
            angle = (start, end)
        elif kind == ":" and angle is None and not is_open:
            piece, words, is_open = end, [], True
        elif kind == "," or (kind == ";" and is_open) or (kind == "end" and not is_open):
            found += _mailbox(value, words, angle, (piece, start))
            piece, words, angle = end, [], None
            is_open = is_open and kind != ";"
        else:
            raise _Unreadable
    return found


def _mailbox(
    value: bytes,
    words: list[tuple[int, int]],
    angle: tuple[int, int] | None,
    piece: tuple[int, int],
) -> list[_Mailbox]:
    if angle is None and not words:
        return []
    start, end = angle or (words[0][0], words[-1][1])
    try:
        address = parse_address(value[start:end].decode())
    except (PathError, UnicodeDecodeError):
        raise _Unreadable from None
    return [_Mailbox(address, start, end, piece)]


def _tokens(value: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield kind, start and end of each part but blanks and comments. Raises _Unreadable."""
    at = 0
    while at < len(value):
        token = _TOKEN.match(value, at)
        if token is None:
            raise _Unreadable
        at = token.end()
        match token.lastgroup:
            case "comment":
                at = _end_of_comment(value, at)
            case "word":
                yield "word", *token.span()
            case "angle":
                start, end = token.span("angle")
                yield "angle", start, start + len(value[start:end].rstrip())
            case "sign":
                yield token["sign"].decode(), *token.span()
            case _:
                pass


def _end_of_comment(value: bytes, at: int) -> int:
    depth = 1
    while depth:
        found = _COMMENT.match(value, at)
        if found is None:
            raise _Unreadable
        at, depth = found.end(), depth + (1 if found[1] == b"(" else -1)
    return at

"""Where the mailboxes of an address field are; names, comments and groups around them are no part of these.

Source: RFC 5322 §3.2.2 (comments), §3.4 (mailboxes, groups); RFC 6854 (groups in From).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
class Place:
    """One mailbox, by octets of the field's value."""

    start: int  # of what is the address, or should be: what angle brackets hold, or words without a name
    end: int
    piece: tuple[int, int]  # from one comma to the next


class Unreadable(ValueError):
    """It is no list of addresses."""


def places(value: bytes) -> list[Place]:
    """Return the place of each mailbox, of those in groups too. Raises Unreadable."""
    found: list[Place] = []
    piece, words, angle, is_open = 0, list[tuple[int, int]](), None, False
    for kind, start, end in (*_tokens(value), ("end", len(value), len(value))):
        if kind == "word" and angle is None:
            words.append((start, end))
        elif kind == "angle" and angle is None:
            angle = (start, end)
        elif kind == ":" and angle is None and not is_open:
            piece, words, is_open = end, [], True
        elif kind == "," or (kind == ";" and is_open) or (kind == "end" and not is_open):
            if angle is not None or words:
                found.append(Place(*(angle or (words[0][0], words[-1][1])), (piece, start)))
            piece, words, angle = end, [], None
            is_open = is_open and kind != ";"
        else:
            raise Unreadable
    return found


def with_parts(value: bytes, parts: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Return the value with other octets from one place to another, given in their order."""
    kept, at = [], 0
    for start, end, fresh in parts:
        kept += [value[at:start], fresh]
        at = end
    return b"".join((*kept, value[at:]))


def _tokens(value: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield kind, start and end of each part but blanks and comments. Raises Unreadable."""
    at = 0
    while at < len(value):
        token = _TOKEN.match(value, at)
        if token is None:
            raise Unreadable
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
            raise Unreadable
        at, depth = found.end(), depth + (1 if found[1] == b"(" else -1)
    return at

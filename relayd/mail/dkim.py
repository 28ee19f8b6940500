"""DKIM signatures: what of a message they cover, in which form, and the field that is put in front.

Owns what is signed, to the octet; keys are `relayd.net.dkim_keys`'s, and who may sign is `relayd.policy.dkim`'s.
Always `relaxed/simple` with SHA-256: the header survives being folded anew, and the body is hashed as it
comes. No l=, which lets anybody append; no x=, no i=.

A header section is signed only if each line is a field or continues one. Of anything else programs read
different things, and a signature would vouch for all of them.

Sources: RFC 6376 §3.4, §3.5, §3.7, §5.4; RFC 8301; RFC 8463; RFC 8058 §4 (List-Unsubscribe-Post).
"""

import hashlib
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

FIELDS_LIMIT = 1000  # fields of a header section that is signed
_ALWAYS = (
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
)
"""Signed once more than they are there: nobody can add one, be there none yet or not (RFC 6376 §8.15)."""
_WHERE_THERE = frozenset(
    {"sender", "in-reply-to", "references", "list-unsubscribe", "list-unsubscribe-post"}
)
"""The same, but only where there is one: mailing lists add them (pdkim#4, rspamd#2887)."""
_AS_THERE = ("resent-", "list-", "feedback-id")  # how names begin that are signed as often as there
_FIELD = re.compile(rb"([!-9;-~]++):((?>(?:[^\x00-\x08\n-\x1f]++|\r\n[ \t])*))\r\n")
_BLANKS = re.compile(rb"  ++")
_WIDTH = 72  # octets of a line of Base64
_BLOCK = b"\r\n" * 32768
_OURS = re.compile(
    rb"DKIM-Signature: v=1; a=[a-z0-9-]++; c=relaxed/simple; d=[^;\r\n]++; s=[^;\r\n]++;\r\n"
    rb"\tt=\d++; h=(?>(?:[^;\r\n]++|\r\n\t)+);\r\n"
    rb"\tbh=([A-Za-z0-9+/=]{44});\r\n"
    rb"\tb=[A-Za-z0-9+/=]++(?>(?:\r\n\t[A-Za-z0-9+/=]++)*)\r\n"
)


class Algorithm(StrEnum):
    """How a key signs, as a= has it."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"


class Field(NamedTuple):
    """A header field; a tuple, because a message has ten and more."""

    name: str  # in lower case
    relaxed: bytes  # in that canonical form, CRLF at its end (RFC 6376 §3.4.2)


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """What signatures cover of a header section: the same for each key."""

    names: str  # h=, folded
    canonical: bytes


@dataclass(frozen=True, slots=True)
class OwnSignatures:
    """Where the signatures of relayd are in a header section."""

    start: int
    end: int  # as `start`: there are none
    body: bytes | None  # the hash that they have; None without any


class BodyHash:
    """SHA-256 of a body in its simple form, fed in any pieces (RFC 6376 §3.4.3). Its lines end in CRLF."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._ends = (
            0  # CRLFs at the end so far: of those in front of the end of the body one counts
        )
        self._is_cut = False  # behind a CR

    def update(self, piece: bytes) -> None:
        if self._is_cut:
            piece = b"\r" + piece
        self._is_cut = piece.endswith(b"\r")
        if self._is_cut:
            piece = piece[:-1]
        end = _end_of_text(piece)
        if end:
            self._add_ends()
            self._hash.update(memoryview(piece)[:end])
        self._ends += (len(piece) - end) // 2

    def digest(self) -> bytes:
        """Return the hash of what came; nothing may come after it."""
        if self._is_cut:
            self._add_ends()
            self._hash.update(b"\r")
        self._hash.update(b"\r\n")
        return self._hash.digest()

    def _add_ends(self) -> None:
        blocks, rest = divmod(self._ends * 2, len(_BLOCK))
        for _ in range(blocks):
            self._hash.update(_BLOCK)
        self._hash.update(_BLOCK[:rest])
        self._ends = 0


def body_hash(*pieces: bytes) -> bytes:
    """Return the hash of a body that is there."""
    hashed = BodyHash()
    for piece in pieces:
        hashed.update(piece)
    return hashed.digest()


def fields_of(header: bytes) -> Sequence[Field] | None:
    """Return the fields of a header section, in their order; None: it is not to be signed."""
    found: list[Field] = []
    at = 0
    while (field := _FIELD.match(header, at)) is not None:
        if len(found) == FIELDS_LIMIT:
            return None
        at = field.end()
        name = field[1].lower()
        found.append(Field(name.decode(), name + b":" + _relaxed(field[2]) + b"\r\n"))
    return found if at == len(header) else None


def signed_header(header: bytes) -> SignedHeader | None:
    """Return what signatures of relayd cover of a header section; None: it is not to be signed."""
    fields = fields_of(header)
    if fields is None:
        return None
    names = tuple(_names(each.name for each in fields))
    return SignedHeader(_folded_names(names), canonical(fields, names))


def canonical(fields: Sequence[Field], names: Iterable[str]) -> bytes:
    """Return the fields of these names, each time one is named the next from the bottom (RFC 6376 §5.4.2)."""
    left: dict[str, list[bytes]] = {}
    for each in fields:
        left.setdefault(each.name, []).append(each.relaxed)
    return b"".join(left[name].pop() for name in names if left.get(name))


def unsigned_field(
    algorithm: Algorithm,
    *,
    domain: str,
    selector: str,
    at: datetime,
    names: str,
    body: bytes,
) -> bytes:
    """Return the field up to where the signature comes; `names` is h=, `body` the hash of the body."""
    return (
        f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/simple; d={domain}; s={selector};\r\n"
        f"\tt={int(at.timestamp())}; h={names};\r\n"
        f"\tbh={b64encode(body).decode()};\r\n"
        "\tb="
    ).encode()


def signing_input(header: bytes, field: bytes) -> bytes:
    """Return the octets that are signed: the canonical header, and the field with an empty b= (RFC 6376 §3.7)."""
    name, _, value = field.partition(b":")
    return header + name.lower() + b":" + _relaxed(value)


def signed_field(field: bytes, signature: bytes) -> bytes:
    """Return the whole field."""
    text = b64encode(signature)
    lines = (text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH))
    return field + b"\r\n\t".join(lines) + b"\r\n"


def own_signatures(header: bytes) -> OwnSignatures:
    """Find our signatures in the header section of a stored message: directly behind its first field, our trace.

    Fields that a client wrote there in our very form are taken for ours.
    """
    first = _FIELD.match(header)
    start = end = first.end() if first else 0
    body = None
    while found := _OURS.match(header, end):
        end, body = found.end(), body or b64decode(found[1])
    return OwnSignatures(start, end, body)


def _end_of_text(piece: bytes) -> int:
    """Return where the CRLFs at the end of a piece begin."""
    end = len(piece.rstrip(b"\r\n"))
    if 2 * piece.count(b"\r\n", end) != len(piece) - end:  # a bare CR or LF is among them
        end = len(piece)
        while piece.endswith(b"\r\n", 0, end):
            end -= 2
    return end


def _relaxed(value: bytes) -> bytes:
    value = value.replace(b"\r\n", b"").replace(b"\t", b" ").strip(b" ")
    return _BLANKS.sub(b" ", value) if b"  " in value else value


def _names(there: Iterable[str]) -> Iterator[str]:
    counts = Counter(there)  # in the order of the header
    for name in _ALWAYS:
        yield from [name] * (counts.pop(name, 0) + 1)
    for name, count in counts.items():
        if name in _WHERE_THERE:
            yield from [name] * (count + 1)
        elif name.startswith(_AS_THERE):
            yield from [name] * count


def _folded_names(names: Iterable[str]) -> str:
    lines, line = list[str](), ""
    for name in names:
        if line and len(line) + len(name) > _WIDTH:
            lines.append(line)
            line = ""
        line += f"{name}:"
    return "\r\n\t".join([*lines, line.removesuffix(":")])

"""Domain names as the DNS has them.

A name is its octets on the wire, without compression, in lower case: so names compare by `==`, and
what is odd in a label stays apart from the ends of labels. `as_text` is for people and for policy.

What a name costs is bounded: it has at most 255 octets, and no more pointers than it can have labels.
Each pointer has to lead further back than the one before, so there is no loop.

Sources: RFC 1035 §3.1, §4.1.4 (compression), §5.1 (escapes); RFC 4343 (case).
"""

from collections.abc import Iterator
from functools import lru_cache

ROOT = b"\0"
_POINTERS = 127  # followed for one name
_NAME_LIMIT = 255  # octets
_LABEL_ENDS, _POINTER = (
    0x40,
    0xC0,
)  # the first octet of a label is below the one, of a pointer from the other on
_PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-_/*"
_ESCAPED = b'"().;\\@$'


class Malformed(Exception):
    """Octets that are no message, or none that answers."""


@lru_cache(maxsize=1024)  # a host is asked for by two types at once
def as_wire(name: str) -> bytes:
    """Return the octets of a domain name of A-labels (`relayd.mail.dns.a_labels`)."""
    return b"".join(bytes([len(each)]) + each for each in name.encode().split(b".")) + ROOT


def as_text(name: bytes) -> str:
    """Return a name in presentation format, without the root's dot; the root is empty."""
    found = list(labels(name))
    if not b"".join(found).translate(None, _PLAIN):
        return b".".join(found).decode()
    return ".".join("".join(map(_escaped, label)) for label in found)


def labels(name: bytes) -> Iterator[bytes]:
    at = 0
    while length := name[at]:
        yield name[at + 1 : at + 1 + length]
        at += 1 + length


def zones_of(name: bytes) -> Iterator[bytes]:
    """Return the name and those above it, up to the root: the zones that it can be in."""
    while True:
        yield name
        if name == ROOT:
            return
        name = name[1 + name[0] :]


def read_name(wire: bytes, at: int) -> tuple[bytes, int]:
    """Return the name at an offset, and where what is behind it begins.

    Raises Malformed, and IndexError where the message ends too early.
    """
    pieces, size, behind, pointers, lowest = [], 1, 0, 0, at
    while length := wire[at]:
        if length < _LABEL_ENDS:
            at += 1 + length
            size += 1 + length
            if at >= len(wire) or size > _NAME_LIMIT:
                raise Malformed
            pieces.append(wire[at - 1 - length : at])
            continue
        target = (length & ~_POINTER) << 8 | wire[at + 1]
        pointers += 1
        if length < _POINTER or target >= lowest or pointers > _POINTERS:
            raise Malformed
        behind = behind or at + 2
        at = lowest = target
    pieces.append(ROOT)
    return b"".join(pieces).lower(), behind or at + 1


def skip_name(wire: bytes, at: int) -> int:
    """Return where what is behind a name begins; what a pointer leads to is not looked at. Raises as `read_name`."""
    while length := wire[at]:
        if length >= _POINTER:
            return at + 2
        if length >= _LABEL_ENDS:
            raise Malformed
        at += 1 + length
    return at + 1


def _escaped(octet: int) -> str:
    if octet in _ESCAPED:
        return "\\" + chr(octet)
    return chr(octet) if 0x20 < octet < 0x7F else f"\\{octet:03d}"

"""Inputs that say how they arrive: a first line of choices and lengths, then what is on the wire.

The first octet of that line holds the choices as bits; each further one is the length of a piece,
again and again until the wire is cut up. Without lengths it comes whole.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle


def arrival(octets: bytes) -> tuple[int, bytes, Sequence[bytes]]:
    """Return the choices, the wire, and its pieces."""
    head, _, wire = octets.partition(b"\n")
    return (head[0] if head else 0), wire, list(_cut(wire, head[1:]))


def _cut(wire: bytes, lengths: bytes) -> Iterator[bytes]:
    if not lengths:
        yield wire
        return
    start = 0
    for length in cycle(lengths):
        if start >= len(wire):
            return
        yield wire[start : start + max(length, 1)]
        start += max(length, 1)

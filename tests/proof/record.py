"""The record of `shim.c`, read: what changed on a disk, in its order, and what others saw meanwhile.

Clients and next hops write marks into the same record, each in one step: `acked NUMBER` once a client has read its 250,
`taken NUMBER RECIPIENT …` before a next hop says it.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_HEAD = struct.Struct("<IIQQQII")


class Kind(Enum):
    CREATE = "C"
    WRITE = "W"
    SIZE = "T"
    SYNC_BEGINS = "B"
    NAMES_SYNC_BEGINS = "D"
    SYNC_ENDS = "E"
    UNLINK = "U"
    FOLDER = "M"
    RENAME = "R"
    LINK = "L"
    MARK = "A"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `offset` is a size for SIZE, and the number of a sync."""

    kind: Kind
    inode: int = 0
    offset: int = 0
    data: bytes = b""
    path: str = ""
    target: str = ""  # of RENAME


def read(record: Path) -> Iterator[Step]:
    """Yield all that was recorded. The last record may be cut short."""
    with record.open("rb") as file:
        while len(raw := file.read(_HEAD.size)) == _HEAD.size:
            _, kind, inode, a, _, first, second = _HEAD.unpack(raw)
            one, other = file.read(first), file.read(second)
            if len(other) < second:
                return
            found = Kind(chr(kind))
            is_data = found is Kind.WRITE
            yield Step(
                kind=found,
                inode=inode,
                offset=a,
                data=other if is_data else b"",
                path=os.fsdecode(one),
                target="" if is_data else os.fsdecode(other),
            )


class Marks:
    """Writes what clients and next hops saw; safe for threads."""

    def __init__(self, record: Path) -> None:
        self._file = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def note(self, *words: str) -> None:
        text = " ".join(words).encode()
        os.write(self._file, _HEAD.pack(len(text), ord("A"), 0, 0, 0, len(text), 0) + text)

    def close(self) -> None:
        os.close(self._file)

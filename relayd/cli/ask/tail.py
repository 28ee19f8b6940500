"""Follow a growing log file by polling, through its rotation.

Owns one promise: every line is yielded once and whole, also when the file is renamed and created
anew or truncated in place. After a rename the old file is read until the new one has something in
it, because writers go on with the old one until they are told.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO


def follow(path: str, *, recent: int | None, pause: Callable[[], bool]) -> Iterator[str]:
    """Yield lines without their newline, for ever; `pause` waits between two reads.

    Begins with the last `recent` octets of the file; None is all of it. Waits for a file that does
    not exist yet. Ends when `pause` returns False. Raises OSError if the file cannot be read.
    """
    file = _open(path)
    while file is None:
        if not pause():
            return
        file, recent = _open(path), None
    try:
        _skip(file, recent)
        rest = b""
        while True:
            rest += file.read()
            *lines, rest = rest.split(b"\n")
            yield from map(_text, lines)
            if (newer := _successor(path, file)) is not None:
                rest += file.read()  # what was written between our last read and the rotation
                file.close()
                file = newer
                yield from map(_text, filter(None, rest.split(b"\n")))
                rest = b""
            elif os.fstat(file.fileno()).st_size < file.tell():  # truncated in place
                file.seek(0)
                rest = b""
            elif not pause():
                return
    finally:
        file.close()


def read(path: str) -> Iterator[str]:
    """Yield the lines that are there now. Raises OSError."""
    with Path(path).open("rb") as file:
        for line in file:
            yield _text(line.rstrip(b"\n"))


def _open(path: str) -> BinaryIO | None:
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        return None


def _skip(file: BinaryIO, recent: int | None) -> None:
    """Go to the first whole line of the last `recent` octets."""
    if recent is not None and (start := os.fstat(file.fileno()).st_size - recent) > 0:
        file.seek(start - 1)
        file.readline()


def _successor(path: str, file: BinaryIO) -> BinaryIO | None:
    """The file that took the place of `file` at `path`, once it has content."""
    newer = _open(path)
    if newer is None:
        return None
    found, known = os.fstat(newer.fileno()), os.fstat(file.fileno())
    if (found.st_dev, found.st_ino) == (known.st_dev, known.st_ino) or not found.st_size:
        newer.close()
        return None
    return newer


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")

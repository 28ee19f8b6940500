"""Follow a growing log file by polling, through its rotation.

Owns one promise: every line is yielded once and whole, also when the file is renamed and created
anew or truncated in place. After a rename the old file is read until the new one has something in
it, because writers go on with the old one until they are told. Without following, the rotated files are
read as well, compressed or not.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

# What Python unpacks without help.
_ROTATION = re.compile(r"[.-][0-9]{1,14}([.-][0-9]{1,10})?(\.(gz|bz2|xz))?")


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


def read_rotated(files: Sequence[Path], since: datetime | None) -> Iterator[str]:
    """Yield the lines of these files; one that was last written before `since` is passed over. Raises OSError."""
    for each in files:
        if since is not None and each.stat().st_mtime < since.timestamp():
            continue
        with _unpacked(each) as file:
            for line in file:
                yield _text(line.rstrip(b"\n"))


def rotated_files(path: str) -> list[Path]:
    """Return what logrotate made of the file, the oldest first: `.1`, `.2.gz`, `-20261128.xz` after its name.

    Raises OSError.
    """
    file = Path(path)
    try:
        there = list(file.parent.iterdir())
    except PermissionError:  # the file itself may be readable
        there = []
    found = [each for each in there if _is_rotation(each.name, file.name)]
    return sorted(found, key=lambda each: each.stat().st_mtime)


def _is_rotation(name: str, of: str) -> bool:
    rest = name.removeprefix(of)
    return rest != name and _ROTATION.fullmatch(rest) is not None


@contextmanager
def _unpacked(path: Path) -> Iterator[Iterable[bytes]]:
    """Open a file for reading, compressed or not. Raises OSError, also within the block if it is damaged."""
    damage: tuple[type[Exception], ...] = (EOFError,)
    unpack: Callable[[Path], AbstractContextManager[Iterable[bytes]]] = _plain
    match path.suffix:  # few files are compressed
        case ".gz":
            import gzip  # noqa: PLC0415
            import zlib  # noqa: PLC0415

            unpack, damage = gzip.open, (EOFError, zlib.error)
        case ".bz2":
            import bz2  # noqa: PLC0415

            unpack = bz2.open
        case ".xz":
            import lzma  # noqa: PLC0415

            unpack, damage = lzma.open, (EOFError, lzma.LZMAError)
        case _:
            pass
    try:
        with unpack(path) as file:
            yield file
    except damage as error:
        raise OSError(errno.EIO, f"it is damaged ({error})", str(path)) from error


def _plain(path: Path) -> BinaryIO:
    return path.open("rb")


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

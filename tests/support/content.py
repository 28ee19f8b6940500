"""Reading content in pieces, and a slow reference for what has to come of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from relayd.receiver import reader as reading
from relayd.receiver.reader import DataReader, Fault, Received
from relayd.settings import LineEndings
from relayd.store.memory.spool import MemorySpool

PLENTY = 1_000_000  # octets: no limit
Verdict = tuple[bytes | Fault, bytes]  # the result, and what stands behind the end of the data


def read(pieces: Iterator[bytes], line_endings: LineEndings, size: int = PLENTY) -> Verdict | None:
    """Feed a reader; None when the end has not come."""
    reader = a_reader(size, line_endings)
    for piece in pieces:
        behind = reader.feed(piece)
        if behind is not None:
            return content_of(reader.result()), behind + b"".join(pieces)
    return None


def a_reader(size: int, line_endings: LineEndings = LineEndings.REJECT) -> DataReader:
    return DataReader(size_limit=size, line_endings=line_endings, spool=MemorySpool)


@contextmanager
def small(
    *, piece: int = reading._PIECE, held: int = reading.HELD, line: int = reading.LINE_LIMIT
) -> Iterator[None]:
    """Have the reader take smaller pieces, or hold less, so that few octets reach its every path."""
    with patch.multiple(reading, _PIECE=piece, HELD=held, LINE_LIMIT=line):
        yield


def content_of(result: Received | Fault) -> bytes | Fault:
    """What was received, in one piece; all that is said of it fits."""
    if isinstance(result, Fault):
        return result
    if result.rest is None:
        assert result.size == len(result.head)
        return result.head
    content = result.rest.finish(result.head)[:]
    assert result.size == len(content)
    assert result.rest_is_8bit is not content[len(result.head) :].isascii()
    return content


def slow(wire: bytes, line_endings: LineEndings, size: int) -> Verdict | None:
    """The rules of section 4 once more, line by line."""
    lines = wire.split(b"\r\n")
    complete = lines[:-1]  # the last one has no CRLF
    if b"." not in complete:
        return None
    end = complete.index(b".")
    rest = b"\r\n".join(lines[end + 1 :])
    content = [line[1:] if line[:1] == b"." else line for line in lines[:end]]
    if sum(len(line) + 2 for line in content) > size:
        return Fault.TOO_BIG, rest
    if any(set(line) & set(b"\r\n\0") for line in content):
        if line_endings is LineEndings.REJECT:
            return Fault.LINE_ENDINGS, rest
        table = {ord("\r"): b" ", 0: b" ", ord("\n"): b"\r\n"}
        content = [b"".join(table.get(octet, bytes([octet])) for octet in line) for line in content]
    return b"".join(line + b"\r\n" for line in content), rest

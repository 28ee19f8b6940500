"""Reading the content behind DATA: where it ends, and what it is without the dot-stuffing.

Only CRLF ends a line and only CRLF.CRLF ends the data (semantics section 4). Fed with whatever
arrives, in any pieces; keeps at most the size limit. Knows no socket.
"""

from enum import Enum, auto

from relayd.mail.line_ends import cleaned, is_clean
from relayd.settings import LineEndings

LINE_LIMIT = 1024 * 1024  # octets of one line without its CRLF (S-40)
_END = b"\r\n.\r\n"


class Fault(Enum):
    """Why a message that was read to its end cannot be taken."""

    TOO_BIG = auto()
    LINE_ENDINGS = auto()  # a bare CR, a bare LF or a NUL
    LONG_LINE = auto()


class DataReader:
    """Collects one message. `feed` it until it returns what stands behind the end of the data."""

    def __init__(self, *, size_limit: int, line_endings: LineEndings) -> None:
        self._buffer = bytearray(b"\r\n")  # so that a dot right behind 354 ends the data too
        self._size_limit = size_limit
        self._line_endings = line_endings
        self._dropped = 0

    @property
    def is_hopeless(self) -> bool:
        """The client has sent the limit once more beyond the limit (S-38): stop listening."""
        return self._dropped > 2 * self._size_limit

    def feed(self, chunk: bytes) -> bytes | None:
        """Take a piece; None while the end has not come, else the octets behind it."""
        buffer = self._buffer
        start = max(0, len(buffer) - 4)
        buffer += chunk
        end = buffer.find(_END, start)
        if end >= 0:
            rest = bytes(buffer[end + 5 :])
            del buffer[end + 2 :]
            return rest
        # Stuffed dots add a third at the most; the verdict in `result` is exact.
        if len(buffer) > self._size_limit * 4 // 3 + 8 or (self._dropped and len(buffer) > 4):
            self._dropped += len(buffer) - 4
            del buffer[:-4]
        return None

    def result(self) -> bytes | Fault:
        """Return the content, CRLF lines, not dot-stuffed; or what is wrong with it."""
        if self._dropped:
            return Fault.TOO_BIG
        content = bytes(self._buffer).replace(b"\r\n.", b"\r\n")[2:]
        if len(content) > self._size_limit:
            return Fault.TOO_BIG
        if not is_clean(content):
            if self._line_endings is LineEndings.REJECT:
                return Fault.LINE_ENDINGS
            content = cleaned(content)
        if len(content) > LINE_LIMIT and _has_long_line(content):
            return Fault.LONG_LINE
        return content


def _has_long_line(content: bytes) -> bool:
    start = 0
    while len(content) - start > LINE_LIMIT:
        end = content.rfind(b"\r\n", start, start + LINE_LIMIT + 2)
        if end < 0:
            return True
        start = end + 2
    return False

"""Reading the content behind DATA: where it ends, and what it is without the dot-stuffing.

Only CRLF ends a line and only CRLF.CRLF ends the data (semantics section 4); in a session whose lines end in
bare LF (`listen.lenient`) only LF does, and only LF.LF. Fed with whatever
arrives, in any pieces; holds a part of it in memory, and puts what comes behind that on a spool.
Each octet is looked at once, so a message costs what its size is, whatever its lines are. Knows no
socket.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from relayd.errors import StoreError, StoreFull
from relayd.mail.dkim import BodyHash
from relayd.mail.header import header_end
from relayd.mail.line_ends import cleaned, find_dot, is_clean
from relayd.ports.queue import Spool
from relayd.settings import LineEndings

LINE_LIMIT = 1024 * 1024  # octets of one line without its CRLF (S-40)
HELD = 256 * 1024  # octets of a message that stay in memory
_PIECE = 64 * 1024  # octets taken off the wire's form at once, at the least
_END = b"\r\n.\r\n"


class Fault(Enum):
    """Why a message that was read to its end cannot be taken."""

    TOO_BIG = auto()
    LINE_ENDINGS = auto()  # a bare CR, a bare LF or a NUL
    LONG_LINE = auto()
    LONG_HEADER = auto()  # it does not end in the part that stays in memory
    NO_ROOM = auto()  # on the spool
    NO_SPOOL = auto()  # it cannot be written


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message without its dot-stuffing. A caller that does not take `rest` over has to discard it."""

    head: bytes  # all of it, or its first octets with the whole header section
    rest: Spool | None
    rest_is_8bit: bool
    size: int  # octets of both
    body: bytes | None = None  # the hash of the body, where it was asked for and there is a rest

    def discard(self) -> None:
        if self.rest is not None:
            self.rest.discard()


class DataReader:
    """Collects one message. `feed` it until it returns what is after the end of the data."""

    def __init__(
        self,
        *,
        size_limit: int,
        line_endings: LineEndings,
        spool: Callable[[], Spool],
        ends_in_lf: bool = False,
        hashes_body: bool = False,
    ) -> None:
        self._size_limit = size_limit
        self._most = (
            size_limit * 4 // 3 + 8
        )  # octets on the wire; each third one may be a stuffed dot
        self._line_endings = line_endings
        self._make_spool = spool
        self._ends_in_lf = ends_in_lf
        self._body = BodyHash() if hashes_body else None  # fed from where the spool begins
        self._input = bytearray(b"\r\n")  # so that a dot right behind 354 ends the data too
        self._has_dots = False  # stuffed ones, perhaps
        self._context = 2  # octets of that which are no content, but there for what follows
        self._head = bytearray()
        self._rest: Spool | None = None
        self._rest_is_8bit = False
        self._seen = 0  # octets on the wire
        self._size = 0  # octets of content, before it was cleaned
        self._kept = 0  # and as it is kept
        self._line = 0  # of those, behind the last CRLF
        self._fault: Fault | None = None

    @property
    def is_hopeless(self) -> bool:
        """The client has sent the limit once more beyond the limit (S-38): stop listening."""
        return self._seen > 2 * self._size_limit

    def feed(self, chunk: bytes) -> bytes | None:
        """Take a piece; None while the end has not come, else the octets behind it."""
        if self._ends_in_lf:
            # One to one: each LF gets a CR. A CR of the client's is then a bare one, in front of it or not.
            behind = self._feed(chunk.replace(b"\n", b"\r\n"))
            return None if behind is None else behind.replace(b"\r\n", b"\n")
        return self._feed(chunk)

    def _feed(self, chunk: bytes) -> bytes | None:
        octets = self._input
        start = max(0, len(octets) - 4)
        octets += chunk
        self._seen += len(chunk)
        end = self._find_end(start)
        if end >= 0:
            behind = bytes(octets[end + 5 :])
            self._take(end + 2)
            return behind
        if len(octets) >= _PIECE or self._seen > self._most:
            self._take(len(octets) - 4)  # an end may begin there
        return None

    def _find_end(self, start: int) -> int:
        """Return where the end of the data begins, or -1; notice dots at the beginning of lines."""
        line_end = find_dot(self._input, start)
        if line_end < 0:
            return -1
        if line_end > start and self._input.startswith(_END, line_end - 1):
            return line_end - 1
        self._has_dots = True
        return self._input.find(_END, start)

    def result(self) -> Received | Fault:
        """Return the content, CRLF lines, not dot-stuffed; or what is wrong with it."""
        if self._fault is None and self._rest is not None and not _has_header(self._head):
            self._fail(Fault.LONG_HEADER)
        if self._fault is not None:
            return self._fault
        rest, self._rest = self._rest, None
        return Received(
            head=bytes(self._head),
            rest=rest,
            rest_is_8bit=self._rest_is_8bit,
            size=self._kept,
            body=None if rest is None or self._body is None else self._body.digest(),
        )

    def discard(self) -> None:
        """Let go of what was read."""
        self._head.clear()
        if self._rest is not None:
            self._rest.discard()
            self._rest = None

    def _take(self, end: int) -> None:
        """Take the input up to `end` as content, and keep no more of it than what follows needs."""
        octets, before = self._input, self._context
        if octets[end - 1] == 0x0D:
            end -= 1  # it goes with its LF
        if end <= before:
            return  # nothing new
        with memoryview(octets) as view:
            piece = bytes(view[:end])
        self._context = 2 if piece.endswith(b"\r\n") else 0  # a dot behind it is a stuffed one
        del octets[: end - self._context]
        content = piece.replace(b"\r\n.", b"\r\n") if self._has_dots else piece
        self._size += len(content) - before
        if self._size > self._size_limit:
            self._fail(Fault.TOO_BIG)  # whatever else is wrong
        elif self._fault is None:
            self._add(piece, content[before:])

    def _add(self, piece: bytes, content: bytes) -> None:
        """Judge a piece, given also without stuffed dots, and keep it."""
        if not is_clean(piece):
            if self._line_endings is LineEndings.REJECT:
                self._fail(Fault.LINE_ENDINGS)
                return
            content = cleaned(content)
        if self._has_long_line(content):
            self._fail(Fault.LONG_LINE)
            return
        try:
            self._keep(content)
        except StoreFull:
            self._fail(Fault.NO_ROOM)
        except StoreError:
            self._fail(Fault.NO_SPOOL)

    def _keep(self, content: bytes) -> None:
        self._kept += len(content)
        if self._rest is None:
            room = HELD - len(self._head)
            self._head += content[:room]
            if len(content) <= room:
                return
            self._rest = self._make_spool()
            content = content[room:]
            if self._body is not None:
                head = bytes(self._head)
                self._body.update(head[header_end(head) + 2 :])
        self._rest.write(content)
        if self._body is not None:
            self._body.update(content)
        self._rest_is_8bit = self._rest_is_8bit or not content.isascii()

    def _has_long_line(self, content: bytes) -> bool:
        first = content.find(b"\r\n")
        if first < 0:
            self._line += len(content)
            return self._line > LINE_LIMIT
        longest_so_far = self._line + first
        self._line = len(content) - content.rfind(b"\r\n") - 2
        return longest_so_far > LINE_LIMIT or self._line > LINE_LIMIT or _has_long_line(content)

    def _fail(self, fault: Fault) -> None:
        self._fault = fault
        self.discard()


def _has_header(head: bytearray) -> bool:
    return head.startswith(b"\r\n") or b"\r\n\r\n" in head


def _has_long_line(content: bytes) -> bool:
    start = 0
    while len(content) - start > LINE_LIMIT:
        end = content.rfind(b"\r\n", start, start + LINE_LIMIT + 2)
        if end < 0:
            return True
        start = end + 2
    return False

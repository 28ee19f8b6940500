"""Large content on this machine: a file without a name, gone when nobody holds it open.

It lies in the folder for temporary files, and only while content comes in or is being sent.
"""

import errno
import os
import tempfile

from relayd.errors import ContentLost, Shortage, StoreFull, StoreUnavailable, is_shortage
from relayd.mail.content import Content

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class UnnamedFile:
    """`relayd.ports.queue.Spool` on a file without a name."""

    def __init__(self) -> None:
        """Create the file. Raises StoreFull, StoreUnavailable."""
        self._size = 0
        try:
            descriptor, path = tempfile.mkstemp(prefix="relayd-")
        except OSError as exc:
            raise _told(exc) from exc
        os.unlink(path)  # noqa: PTH108 -- a name, not a path
        self._descriptor = descriptor

    def write(self, octets: bytes, /) -> None:
        left = memoryview(octets)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as exc:
            raise _told(exc) from exc
        self._size += len(octets)

    def finish(self, head: bytes, /) -> Content:
        descriptor, self._descriptor = self._descriptor, -1
        return SpooledContent(head, descriptor, self._size)

    def discard(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)


class SpooledContent:
    """`relayd.mail.content.Content`: octets in memory, and behind them those of a file without a name."""

    def __init__(self, head: bytes, descriptor: int, beside: int) -> None:
        self._head = head
        self._descriptor = descriptor
        self._beside = beside

    def __len__(self) -> int:
        return len(self._head) + self._beside

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        """Return a run of octets. Raises ContentLost, Shortage."""
        start, stop, _ = part.indices(len(self))
        first = self._head[start:stop]
        begin = max(start - len(self._head), 0)
        left = stop - len(self._head) - begin
        return first if left <= 0 else first + self._read(begin, left)

    def _read(self, begin: int, left: int) -> bytes:
        try:
            found = os.pread(self._descriptor, left, begin)
        except OSError as exc:
            if is_shortage(exc):
                raise Shortage(f"content cannot be read now: {exc.strerror}") from exc
            raise ContentLost(f"content cannot be read: {exc.strerror}") from exc
        if len(found) < left:
            raise ContentLost("content is shorter than it was")
        return found

    def __del__(self) -> None:
        os.close(self._descriptor)


def _told(exc: OSError) -> StoreFull | StoreUnavailable:
    if exc.errno in _FULL:
        return StoreFull("no room left for large messages in the folder of temporary files")
    return StoreUnavailable(f"the folder of temporary files cannot be used: {exc.strerror}")

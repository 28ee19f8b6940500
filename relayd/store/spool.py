"""Large content: a file for each message in a directory beside the queue file (HQ-07).

A file is written while its message comes in, under a name that says so. Before the commit that makes
the message ours it is synced, renamed for the message, and the directory synced: a row never stands
without its file. The other way round is possible after a crash, and harmless; `sweep` removes what
belongs to nobody.

Reads and writes are plain system calls of up to a few hundred KiB, mostly of the page cache.
"""

import errno
import itertools
import os
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from relayd.errors import ContentLost, Shortage, StoreFull, StoreUnavailable, is_shortage
from relayd.files import make_folder, rename, sync
from relayd.mail.content import Content
from relayd.mail.ids import MessageId, format_id, parse_id

_PART = ".part"
_MODE = 0o750  # of the directory: the group may read
_OLD_MODE = 0o700  # of one that an older relayd made
_ABANDONED_AFTER = 3600.0  # seconds without a write; a live one is never silent for so long
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileContent:
    """`relayd.mail.content.Content`: octets in memory, and behind them those of a file."""

    def __init__(self, head: bytes, path: Path, beside: int) -> None:
        self.head = head
        self.path = path
        self.beside = beside  # octets in the file
        self._descriptor = -1  # until the file is read

    def __len__(self) -> int:
        return len(self.head) + self.beside

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        """Return a run of octets. Raises ContentLost, Shortage."""
        start, stop, _ = part.indices(len(self))
        first = self.head[start:stop]
        begin = max(start - len(self.head), 0)
        left = stop - len(self.head) - begin
        return first if left <= 0 else first + self._read(begin, left)

    def _read(self, begin: int, left: int) -> bytes:
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            found = os.pread(self._descriptor, left, begin)
        except OSError as exc:
            if is_shortage(exc):
                raise Shortage(f"{self.path} cannot be read now: {exc.strerror}") from exc
            raise ContentLost(f"{self.path} cannot be read: {exc.strerror}") from exc
        if len(found) < left:
            raise ContentLost(f"{self.path} is shorter than it was")
        return found

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


class SpoolFile:
    """`relayd.ports.queue.Spool` on a file."""

    def __init__(self, path: Path, has_room: Callable[[], bool]) -> None:
        """Create the file. What is kept back of the disk is not for it: `has_room`. Raises StoreFull, StoreUnavailable."""
        self._path = path
        self._has_room = has_room
        self._size = 0
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(path, flags, 0o640)  # whom the folder lets in may read
        except OSError as exc:
            raise _told(exc) from exc

    def write(self, octets: bytes, /) -> None:
        if not self._has_room():
            raise StoreFull("the rest of the disk is for outcomes")
        left = memoryview(octets)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as exc:
            raise _told(exc) from exc
        self._size += len(octets)

    def finish(self, head: bytes, /) -> Content:
        self._close()
        return FileContent(head, self._path, self._size)

    def discard(self) -> None:
        with suppress(OSError):  # what stays is for the sweep
            self._close()
        with suppress(OSError):
            self._path.unlink()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1  # it is gone, also if that fails
        if descriptor >= 0:
            os.close(descriptor)


def directory_of(queue: str) -> Path:
    return Path(f"{queue}.content")


def has_content(queue: str) -> bool:
    """Tell whether messages of the queue have files, also when its own is missing."""
    try:
        return any(_message_of(path) is not None for path in directory_of(queue).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def content_in(directory: Path, message_id: MessageId, head: bytes, beside: int) -> Content:
    """Return content whose file is in the directory. Raises ContentLost, StoreUnavailable."""
    path = directory / format_id(message_id)
    try:
        is_there = path.is_file()
    except OSError as exc:
        raise _told(exc) from exc
    if not is_there:
        raise ContentLost(f"{path} is missing: restore it with the queue file")
    return FileContent(head, path, beside)


class SpoolDirectory:
    """All content files of one queue; workers of the same queue share it."""

    def __init__(self, queue: str) -> None:
        """Create the directory if need be. Raises StoreUnavailable."""
        self._path = directory_of(queue)
        self._count = itertools.count()
        # What the last sweep would have removed: when it was written, and since when it is as it is.
        self._orphans: dict[Path, tuple[int, float]] = {}
        self._make()
        with suppress(OSError):  # it is another's
            if self._path.stat().st_mode & 0o777 == _OLD_MODE:
                self._path.chmod(_MODE)

    def _make(self) -> None:
        try:
            make_folder(self._path, _MODE)
        except OSError as exc:
            raise _told(exc) from exc

    def new(self, has_room: Callable[[], bool]) -> SpoolFile:
        """Begin a file, in a new directory if somebody took it away. Raises StoreFull, StoreUnavailable."""
        self._make()
        name = f"{os.getpid()}-{next(self._count)}-{time.monotonic_ns()}{_PART}"
        return SpoolFile(self._path / name, has_room)

    def keep(self, content: FileContent, message_id: MessageId) -> None:
        """Make a file durable under its message's name. Raises StoreFull, StoreUnavailable."""
        path = self._of(message_id)
        try:
            sync(content.path)
            rename(content.path, path)
            content.path = path
        except OSError as exc:
            raise _told(exc) from exc

    def share(self, old: MessageId, new: MessageId) -> None:
        """Give the file of a message to another one as well; `sync` makes that durable.

        Its time is set anew, so that the sweep takes it for no orphan until the commit. Raises ContentLost,
        StoreFull, StoreUnavailable.
        """
        path = self._of(old)
        try:
            os.utime(path)
            self._of(new).hardlink_to(path)
        except FileNotFoundError as exc:
            raise ContentLost(f"{path} is missing: restore it with the queue file") from exc
        except OSError as exc:
            raise _told(exc) from exc

    def sync(self) -> None:
        """Make the names of files durable. Raises StoreFull, StoreUnavailable."""
        try:
            sync(self._path)
        except OSError as exc:
            raise _told(exc) from exc

    def content_of(self, message_id: MessageId, head: bytes, beside: int) -> Content:
        """Return content whose file is there. Raises ContentLost, StoreUnavailable."""
        return content_in(self._path, message_id, head, beside)

    def remove(self, messages: Iterable[MessageId]) -> None:
        for message_id in messages:
            with suppress(OSError):  # the next sweep has another try
                self._of(message_id).unlink(missing_ok=True)

    def sweep(
        self, known: Callable[[Collection[MessageId]], Collection[MessageId]], *, now: float
    ) -> int:
        """Remove what a crash left: files without a message that `known` has; return how many.

        A file goes when it looks old, and is as it was at a look of an hour ago; `now` is in monotonic seconds. Its time alone
        proves nothing: a clock that was set makes a file old whose message is just being stored. What has no name of
        ours is not ours to remove.
        """
        old = {path: at for path in self._path.iterdir() if (at := _old_since(path)) is not None}
        named = {each: path for path in old if (each := _message_of(path)) is not None}
        orphans = [path for path in old if path.suffix == _PART]
        orphans += [named[each] for each in named.keys() - set(known(named.keys()))]
        before, self._orphans = self._orphans, {}
        removed = 0
        for path in orphans:
            seen, since = before.get(path, (None, now))
            if seen == old[path] and now - since >= _ABANDONED_AFTER:
                path.unlink(missing_ok=True)
                removed += 1
            else:
                self._orphans[path] = (old[path], since if seen == old[path] else now)
        return removed

    def _of(self, message_id: MessageId) -> Path:
        return self._path / format_id(message_id)


def _message_of(path: Path) -> MessageId | None:
    """Return the message that a file is named for; None if it is named for none."""
    try:
        return parse_id(path.name)
    except ValueError:
        return None


def _old_since(path: Path) -> int | None:
    """Return when a file was written, in nanoseconds, if that looks long ago."""
    try:
        written = path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    return written if time.time() - written / 1e9 > _ABANDONED_AFTER else None  # noqa: TID251 -- the file's clock


def _told(exc: OSError) -> StoreFull | StoreUnavailable:
    if exc.errno in _FULL:
        return StoreFull("no room left for large messages")
    return StoreUnavailable(f"a content file cannot be used: {exc.strerror}")

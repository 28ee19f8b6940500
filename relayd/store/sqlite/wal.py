"""The write-ahead log (WAL) of the queue file: made durable by us, and kept short.

SQLite commits without a sync (`synchronous=NORMAL`), so that a process gives its turn up before it
waits for the disk; `sync` is what makes a commit durable, and nobody is told of one before. The WAL
is synced whole, so a commit is never durable without those that it was built on. Whatever SQLite
itself must sync, the WAL before a checkpoint, the file after it, a header that begins the WAL
anew, it does in this mode too.

The WAL has its full length from the start, zeros after what is written: then a sync has data to write
and nothing else, no new length and no new blocks, which takes a third less.

Source: https://sqlite.org/wal.html, https://sqlite.org/walformat.html (what is no valid frame ends
the WAL), https://sqlite.org/pragma.html#pragma_synchronous; ADR 8.
"""

import os
from contextlib import suppress

import apsw
import structlog

from relayd.errors import StoreUnavailable
from relayd.store.disk import spare
from relayd.store.sqlite.lock import FileLock

CHECKPOINT_PAGES = 8192  # 32 MiB between checkpoints: pages rewritten often are copied once
FULL_PAGES = CHECKPOINT_PAGES * 9 // 8  # that the WAL has room for from the start
_FRAME = 4096 + 24  # octets of a page with its header
_PIECE = bytes(1024 * 1024)
_ROOM = 2  # times what the WAL takes has to be free beyond what is kept back

log = structlog.get_logger()


class Wal:
    """The WAL of an open connection; one thread uses both."""

    def __init__(self, db: apsw.Connection, path: str) -> None:
        self._db = db
        self._path = f"{path}-wal"
        self._pages = 0
        self._allowed = CHECKPOINT_PAGES
        self._is_synced = True
        db.set_wal_hook(self._committed)
        db.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # from now on the WAL is there
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def preallocate(self, lock: FileLock) -> None:
        """Fill the WAL up with zeros, to where it is checkpointed and a little beyond.

        So there is room for outcomes too when the disk is full (F-12). Where little is free already
        the WAL grows with its use, as SQLite has it. Holds the turn, and SQLite's own lock against
        who writes without one, while 36 MiB go to the page cache; not while they are synced.

        Raises OSError when that fails: then no commit would become durable either.
        """
        with suppress(apsw.BusyError), lock.turn():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                is_longer = _fill_up(self._path, FULL_PAGES * _FRAME)
            finally:
                self._db.execute("ROLLBACK")
            self._is_synced = self._is_synced and not is_longer
        self.sync()

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._pages, self._is_synced = pages, False
        return apsw.SQLITE_OK

    @property
    def is_long(self) -> bool:
        return self._pages >= self._allowed

    def make_short(self) -> None:
        """Let it be too long as it is, until the next checkpoint."""
        self._allowed = 0

    def sync(self) -> None:
        """Return when all commits are durable. Raises OSError: nobody knows if they are (HQ-03)."""
        if not self._is_synced:
            os.fdatasync(self._fd)
            self._is_synced = True

    def checkpoint(self, lock: FileLock) -> None:
        """Copy the WAL into the file: most of it beside the others' turns, the rest in a turn.

        After that the next commit begins the WAL anew. If somebody reads from it, or a checkpoint
        fails, it grows some more before the next try: nothing is lost by that.
        """
        self._copy()
        is_done = False
        with suppress(StoreUnavailable), lock.turn():
            is_done = self._copy()
        self._allowed = CHECKPOINT_PAGES if is_done else self._pages + CHECKPOINT_PAGES // 4

    def _copy(self) -> bool:
        """Copy what can be copied without waiting; tell whether that is all."""
        try:
            in_wal, copied = self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            return False  # another process is at it
        except apsw.Error as exc:
            log.warning("checkpoint_failed", fault="local", reason=str(exc))
            return False
        return bool(in_wal == copied)

    def close(self) -> None:
        os.close(self._fd)


def _fill_up(path: str, goal: int) -> bool:
    """Add zeros up to `goal` octets, all of them or none; tell which."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        used = length = os.fstat(fd).st_size
        if length >= goal or spare(path) < _ROOM * (goal - used):
            return False
        try:
            while length < goal:
                length += os.pwrite(fd, _PIECE[: goal - length], length)
        except OSError:
            os.ftruncate(fd, used)
            return False
    finally:
        os.close(fd)
    return True

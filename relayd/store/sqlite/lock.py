"""Turns: one writer at a time on one machine, by a lock that no dead process keeps."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from relayd.errors import StoreUnavailable


class FileLock:
    """Turns for the writers of one machine: an flock that the system drops when a process dies."""

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(path, flags, 0o600)
        except OSError as exc:
            raise StoreUnavailable(f"cannot open {path}: {exc.strerror}") from exc

    def acquire(self) -> None:
        """Wait for the turn. Raises StoreUnavailable when the system has no room for a lock."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as exc:
            raise StoreUnavailable(f"no turn to write: {exc.strerror}") from exc

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._fd)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock for a block. Raises StoreUnavailable."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

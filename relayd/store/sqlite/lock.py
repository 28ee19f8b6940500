"""Turns: one writer at a time on one machine, by a lock that no dead process keeps."""

import fcntl
import os

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
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._fd)

    def held(self) -> "_Held":
        return _Held(self)


class _Held:
    """Hold a lock for a block, and close it behind."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._lock.close()

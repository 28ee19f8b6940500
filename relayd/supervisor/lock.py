"""One daemon per queue on each machine: an advisory lock next to a queue that is a file, or in the folder of its own.

The supervisor takes the lock before it touches anything else on disk; its workers inherit the
descriptor. So the lock lives as long as any process of a daemon does, also when the supervisor was
killed, and it can never be stale (F-20).
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from relayd.errors import QueueInUse, StartError
from relayd.files import is_locked, make_folder
from relayd.store.url import lock_file, name_of

_LOOK_EVERY = 0.02  # seconds


class QueueLock:
    """The right to serve a queue; held until every copy of its descriptor is closed."""

    def __init__(self, url: str, folder: str = "") -> None:
        """Take the lock of the queue at `url`. Raises StartError if it cannot be had, QueueInUse.

        `folder` is that of `relayd.store.url.lock_file`, which counts where the queue is no file.
        """
        self.path = lock_file(url, folder)
        self._descriptor: int | None = _take(self.path, name_of(url))

    def close(self) -> None:
        """Close this process's copy."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_at_start(url: str, folder: str = "", *, within: float) -> QueueLock:
    """Take the lock as QueueLock does; wait `within` seconds for the workers of a daemon that was killed.

    They end by themselves then, as fast as their clients let them. One that was killed with it has the lock until
    the system has taken all of it.
    """
    ends = time.monotonic() + within
    while True:
        try:
            return QueueLock(url, folder)
        except QueueInUse as error:
            if not error.is_over or time.monotonic() >= ends:
                raise
        time.sleep(_LOOK_EVERY)


def is_served(url: str) -> bool:
    """Tell whether a daemon has the queue file at `url`; changes nothing. May raise PermissionError."""
    try:
        return is_locked(lock_file(url))
    except FileNotFoundError:
        return False


def make_directory(directory: Path, mode: int) -> None:
    """Make `directory` if it is missing, but not its parents. Raises StartError with the remedy."""
    try:
        make_folder(directory, mode)
    except FileExistsError:
        pass  # no folder: those who want something in it say so
    except OSError as error:
        message = (
            f"cannot create the directory {directory}: {error.strerror};"
            " create it and give it to the user that runs relayd"
        )
        raise StartError(message) from error


def _take(path: Path, queue: str) -> int:
    make_directory(path.parent, 0o750)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"cannot open the queue's lock {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        message = (
            f"another relayd serves the queue {queue}: process {owner} or a worker it left behind"
        )
        raise QueueInUse(message, is_over=not _lives(owner)) from error
    with suppress(OSError):  # the number is for people; a full disk is no reason to refuse
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def _lives(owner: str) -> bool:
    """Tell whether the process of that number is there; one that is not known may be."""
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, PermissionError):
        pass
    return True

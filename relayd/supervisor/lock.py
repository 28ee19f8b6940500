"""One daemon per queue: an advisory lock next to a queue that is a file.

The supervisor takes the lock before it touches anything else on disk; its workers inherit the
descriptor. So the lock lives as long as any process of a daemon does, also when the supervisor was
killed, and it can never be stale (F-20).
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from relayd.errors import QueueInUse, StartError
from relayd.files import is_locked, make_folder
from relayd.store.url import is_file, queue_file


class QueueLock:
    """The right to serve a queue; held until every copy of its descriptor is closed."""

    def __init__(self, url: str) -> None:
        """Take the lock of the queue at `url`. Raises StartError if it cannot be had, QueueInUse."""
        self.url = url
        self._descriptor = _take(queue_file(url)) if is_file(url) else None

    def close(self) -> None:
        """Close this process's copy."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_served(url: str) -> bool:
    """Tell whether a daemon has the queue at `url`; changes nothing. May raise PermissionError."""
    try:
        return is_locked(f"{queue_file(url)}.lock")
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


def _take(queue: Path) -> int:
    path = f"{queue}.lock"
    make_directory(queue.parent, 0o750)
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
        raise QueueInUse(message) from error
    with suppress(OSError):  # the number is for people; a full disk is no reason to refuse
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor

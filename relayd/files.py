"""Writing files and folders so that a crash leaves the old one or the new one.

Owns the order of system calls; whose a file is and who may read it is the caller's matter. A name is
durable when its folder is synced, so whatever is made or renamed here syncs the folder above it.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: str | Path) -> None:
    """Sync a file, or the names in a directory. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path, mode: int) -> None:
    """Make a folder with just that mode, whatever the umask, so that it stays. Raises OSError.

    One that is there is left as it is. Its parent has to be there.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    path.chmod(mode)
    sync(path.parent)


def rename(old: Path, new: Path) -> None:
    """Give a file another name in its folder, durably. Raises OSError."""
    old.replace(new)
    sync(new.parent)


def replace(path: Path, text: str, dress: Callable[[int, Path], None]) -> None:
    """Put `text` in the place of `path` in one step, durably. Raises OSError.

    `dress` gives the new file owner and mode before it has its name: it gets the descriptor and
    the path for now. Until then only the user that we run as may read it.
    """
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # of a command that was killed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(fresh, flags, 0o600), "wb") as file:  # noqa: PTH123 - nobody else's file
            file.write(text.encode())
            file.flush()
            dress(file.fileno(), fresh)
            os.fsync(file.fileno())
        rename(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Keep others that ask out until the end. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: str | Path) -> bool:
    """Tell whether a process has the lock of a file; changes nothing. Raises OSError when it cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


_TO_OPEN = 1 << 20  # octets: of a queue the index of its log, the beginning of that, and some rows
_FILES_TO_OPEN = 10


def is_full(path: Path) -> bool:
    """Tell whether hardly anything can be written to a folder's disk: not even a queue can be opened there."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return False
    has_no_files = disk.f_files > 0 and disk.f_favail < _FILES_TO_OPEN
    return has_no_files or disk.f_bavail * disk.f_frsize < _TO_OPEN

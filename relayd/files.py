"""Writing files so that a crash leaves the old one or the new one.

Owns the order of system calls; whose a file is and who may read it is the caller's matter.
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


def replace(path: Path, text: str, dress: Callable[[int, Path], None]) -> None:
    """Put `text` in the place of `path` in one step. Raises OSError.

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
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Keep others that ask out until the end, then sync the names. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

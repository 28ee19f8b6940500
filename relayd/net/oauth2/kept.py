"""The files in which tokens are kept: nobody else may read them, and a crash leaves the old one or the new one.

They are in a folder beside the queue, and belong to its owner: a command that root runs leaves files that the daemon
can use.
"""

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from relayd.files import make_folder, replace
from relayd.secret_files import SecretError, read_private

_FOLDER_MODE = 0o700
_LIMIT = 64 * 1024
_LOOK = 0.05  # seconds between two tries to get the lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An access token in a file."""

    token: str
    ends_at: float  # seconds since 1970
    lived_for: float  # seconds, when it was new
    of: str  # what it was got with: another one is no use

    def __repr__(self) -> str:
        return f"Kept(***, ends_at={self.ends_at})"

    def is_fresh(self, now: float) -> bool:
        """Tell whether it is good for a while: a tenth of its life, five minutes at most."""
        left = self.ends_at - now
        return min(self.lived_for / 10, 300) < left <= self.lived_for


def read_token(path: str) -> Kept | None:
    """Return the token in a file; None: there is none that can be used."""
    try:
        found = json.loads(read_private(Path(path), limit=_LIMIT).octets)
        return Kept(
            token=str(found["token"]),
            ends_at=float(found["ends_at"]),
            lived_for=float(found["lived_for"]),
            of=str(found["of"]),
        )
    except (OSError, SecretError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_token(path: str, kept: Kept) -> None:
    """Put a token in its place. Raises OSError."""
    told = {
        "token": kept.token,
        "ends_at": kept.ends_at,
        "lived_for": kept.lived_for,
        "of": kept.of,
    }
    _write(path, json.dumps(told))


def write_refresh_token(path: str, token: str) -> None:
    """Put a refresh token in its place. Raises OSError."""
    _write(path, f"{token}\n")


def note_sign_in(path: str) -> None:
    """Leave a mark that somebody has agreed, for the workers that look for it. Raises OSError."""
    _write(path, "")


@asynccontextmanager
async def alone(path: str, *, within: float) -> AsyncIterator[None]:
    """Keep all other workers and commands out, so that one of them asks for a token. Raises OSError, TimeoutError."""
    _make_folder(Path(path).parent)
    descriptor = os.open(
        f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        _belong(descriptor, Path(path).parent)
        ends = time.monotonic() + within
        while not _is_locked(descriptor):
            if time.monotonic() > ends:
                raise TimeoutError
            await asyncio.sleep(_LOOK)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: str, text: str) -> None:
    folder = Path(path).parent
    _make_folder(folder)
    replace(Path(path), text, partial(_dress, folder=folder))


def _make_folder(folder: Path) -> None:
    is_new = not folder.is_dir()
    make_folder(folder, _FOLDER_MODE)
    if is_new:
        status = folder.parent.stat()
        with suppress(PermissionError):  # root makes it for the daemon
            os.chown(folder, status.st_uid, status.st_gid)


def _dress(descriptor: int, _fresh: Path, *, folder: Path) -> None:
    _belong(descriptor, folder)


def _belong(descriptor: int, folder: Path) -> None:
    status = folder.stat()
    with suppress(PermissionError):
        os.fchown(descriptor, status.st_uid, status.st_gid)

"""Another queue in the place of this one: a crash leaves the old one or the new one.

The new queue is built in a folder beside the old one. Then the folder gets another name, and from that
moment on the new queue counts: what is left to do is renaming, and the next start of relayd does it if
this one is cut short. Each step can be done twice. The old queue is kept in a folder of its own, or
deleted if the new one has the same mail.

Only the process with the daemon's lock may do this (`relayd.supervisor.lock`).
"""

import itertools
import os
import pwd
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relayd.errors import StoreUnavailable
from relayd.files import sync
from relayd.store.spool import directory_of
from relayd.store.sqlite.condition import FILE_MODE, SIDES

_USER = "relayd"  # of the unit
_KEPT, _DELETED = "old", "same"  # folders for the old queue
_NONE = "none"  # a file: no queue takes the place of the old one
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom the files of a queue are for."""

    uid: int
    gid: int

    def take(self, path: Path) -> None:
        """Give a file or folder to the owner, if we are not; no link is followed. Raises OSError."""
        if os.geteuid():
            return
        descriptor = os.open(path, _FLAGS)
        try:
            self.take_open(descriptor)
        finally:
            os.close(descriptor)

    def take_open(self, descriptor: int) -> None:
        """Give an open file or folder to the owner, if we are not. Raises OSError."""
        found = os.fstat(descriptor)
        if (found.st_uid, found.st_gid) != (self.uid, self.gid) and not os.geteuid():
            os.fchown(descriptor, self.uid, self.gid)


def owner_of(queue: str) -> Owner:
    """Return whose the queue is, or would be."""
    for each in (Path(queue), Path(queue).parent):
        with suppress(FileNotFoundError, PermissionError):
            found = each.stat()
            return Owner(found.st_uid, found.st_gid)
    try:
        user = pwd.getpwnam(_USER)
    except KeyError:
        return Owner(os.geteuid(), os.getegid())
    return Owner(user.pw_uid, user.pw_gid)


def finish_earlier(queue: str) -> None:
    """Finish what an earlier process did not. Raises StoreUnavailable."""
    try:
        finish(queue)
    except OSError as exc:
        raise StoreUnavailable(f"{exc.filename or queue}: {exc.strerror}") from exc


def begin(queue: str, *, keeps_old: bool) -> Path:
    """Return an empty folder for the new queue, whose file has to get the old one's name. Raises OSError."""
    folder = _building(queue)
    shutil.rmtree(folder, ignore_errors=True)  # of a command that was killed
    folder.mkdir(0o700)
    (folder / (_KEPT if keeps_old else _DELETED)).mkdir(0o750)
    return folder


def abandon(queue: str) -> None:
    """Remove what was built."""
    shutil.rmtree(_building(queue), ignore_errors=True)


def put(queue: str, *, owner: Owner) -> Path | None:
    """Let the queue that was built take the place of the old one; return where that is now. Raises OSError.

    If no queue was built, there is none afterwards.
    """
    folder, old = _building(queue), Path(queue)
    mode = old.stat().st_mode & 0o777 if old.exists() else FILE_MODE
    descriptor = os.open(folder, os.O_DIRECTORY | _FLAGS)
    try:
        if old.name not in os.listdir(descriptor):  # noqa: PTH208 -- of an open folder
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(_NONE, flags, FILE_MODE, dir_fd=descriptor))
        _dress(descriptor, content=f"{old.name}.content", mode=mode, owner=owner)
    finally:
        os.close(descriptor)
    _rename(folder, ready(queue))
    return finish(queue)


def _dress(folder: int, *, content: str, mode: int, owner: Owner) -> None:
    """Give all in an open folder its owner and mode, durably. Raises OSError.

    The queue's owner can change the folder above meanwhile, and we may be root: no name is followed.
    """
    for path, _, files, descriptor in os.fwalk(".", dir_fd=folder):
        for name in files:
            file = os.open(name, _FLAGS, dir_fd=descriptor)
            try:
                os.fchmod(file, mode)
                owner.take_open(file)
                os.fsync(file)
            finally:
                os.close(file)
        if Path(path).name == content:
            os.fchmod(descriptor, 0o750)
        owner.take_open(descriptor)
        os.fsync(descriptor)


def ready(queue: str) -> Path:
    """Return the folder of a queue that counts, and may not have its name yet."""
    return Path(f"{queue}.restored")


def finish(queue: str) -> Path | None:
    """Do what is left of `put`; return where the old queue is now, if it was kept. Raises OSError."""
    folder, name = ready(queue), Path(queue).name
    if not folder.is_dir() or folder.is_symlink():
        return None
    kept = folder / _KEPT
    aside = kept if kept.is_dir() else folder / _DELETED
    content, place = folder / f"{name}.content", directory_of(queue)
    is_emptied = (folder / _NONE).exists()
    if content.exists() or is_emptied:
        _move(place, aside)
    if content.exists():
        _rename(content, place)
    if (folder / name).exists() or is_emptied:
        for side in ("", *SIDES):
            _move(Path(queue + side), aside)
    if (folder / name).exists():
        _rename(folder / name, Path(queue))
    found = None
    if kept.is_dir() and any(kept.iterdir()):
        found = _free(queue)
        _rename(kept, found)
    shutil.rmtree(folder)
    sync(folder.parent)
    return found


def _building(queue: str) -> Path:
    return Path(f"{queue}.restoring")


def _free(queue: str) -> Path:
    """Return the first name of its kind that is not taken."""
    names = (Path(f"{queue}.old-{number}") for number in itertools.count(1))
    return next(each for each in names if not each.exists())


def _move(path: Path, folder: Path) -> None:
    """Move a file or folder into a folder, if it is there."""
    if path.exists() and folder.is_dir():
        _rename(path, folder / path.name)


def _rename(old: Path, new: Path) -> None:
    """Rename durably, from one folder to another."""
    old.rename(new)
    sync(new.parent)
    if old.parent != new.parent:
        sync(old.parent)

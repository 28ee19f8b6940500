"""A copy of the queue while it is in use: the file, and the content files that belong to it (F-27).

All of it is of one instant: that of the first read. The queue file is copied out of that read
transaction; a content file that is gone by the time it is copied belongs to a message that was
finished meanwhile, so another instant is taken. Files that are there already are kept. The copy is no
file in WAL mode: who looks into it leaves nothing beside it.

Root may copy into a folder that somebody else can change, out of one that belongs to relayd's user: no link in either is followed.

Invariant: where the copy of the queue file has its name, everything is there and synced.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import apsw

from relayd.errors import BackupFailed
from relayd.files import make_folder, rename, sync
from relayd.mail.ids import MessageId, format_id
from relayd.store.disk import lacking
from relayd.store.spool import directory_of
from relayd.store.sqlite.connection import translate
from relayd.store.sqlite.outside import OutsideReader
from relayd.store.sqlite.values import fetch

_TRIES = 20  # instants
_PIECE = 1024 * 1024  # octets of a file at once
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def back_up(queue: str, folder: Path) -> Path:
    """Copy the queue into a folder that is empty or not there; return the copy.

    Raises BackupFailed, StoreUnavailable, SchemaMismatch.
    """
    try:
        with closing(OutsideReader(queue, any_older=True)):
            make_folder(folder, 0o700)
        if any(folder.iterdir()):
            raise BackupFailed(f"{folder} is not empty")
        if found := lacking(str(folder), octets_of(queue)):
            raise BackupFailed(found)
        return copy_into(queue, folder / Path(queue).name)
    except apsw.Error as exc:
        raise translate(exc) from exc
    except OSError as exc:
        raise BackupFailed(f"{exc.filename or folder}: {exc.strerror}") from exc


def copy_into(queue: str, copy: Path) -> Path:
    """Copy the queue as `copy`, with its content files beside; return it.

    Raises BackupFailed, StoreUnavailable, SchemaMismatch, apsw.Error, OSError.
    """
    building = copy.with_name(f"{copy.name}.part")
    try:
        for _ in range(_TRIES):
            with closing(OutsideReader(queue, any_older=True)) as source:
                _copy(source.db, Path(queue), copy, building)
                if not source.has_changed():
                    break
        else:
            raise BackupFailed(f"{queue} is taken into use and left again and again")
        sync(building)
        rename(building, copy)
    finally:
        building.unlink(missing_ok=True)
    return copy


def octets_of(queue: str) -> int:
    """Return about how much room a copy of the queue takes. Raises OSError."""
    octets = Path(queue).stat().st_size
    content = directory_of(queue)
    for file in content.iterdir() if content.is_dir() else ():
        with suppress(FileNotFoundError):  # its message is finished
            octets += file.stat().st_size
    return octets


def _copy(source: apsw.Connection, queue: Path, copy: Path, building: Path) -> None:
    """Copy one instant of the queue as `building`, and the content of `copy`."""
    beside, files = directory_of(str(queue)), directory_of(str(copy))
    make_folder(files, 0o700)
    missing = ""
    for _ in range(_TRIES):
        source.execute("BEGIN")
        rows = fetch(source, "SELECT message_id, beside FROM content WHERE beside")
        wanted = {format_id(MessageId(message_id)): octets for message_id, octets in rows}
        missing = _copy_files(wanted, beside, files)
        if not missing:
            break
        source.execute("ROLLBACK")
    else:
        raise BackupFailed(f"the content of {missing} is not in {beside}: drop that message")
    building.unlink(missing_ok=True)
    os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    # It is there, and nobody has put a link in its place.
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
    path = building.parent.resolve() / building.name
    with closing(apsw.Connection(str(path), flags=flags)) as target:
        with target.backup("main", source, "main") as backup:
            backup.step()
        source.execute("ROLLBACK")
        target.execute(
            "PRAGMA journal_mode=DELETE"
        ).fetchall()  # its readers need no file beside it
        if (found := target.execute("PRAGMA quick_check").get) != "ok":
            raise BackupFailed(f"the copy is damaged: {found}")
    sync(files)


def _copy_files(wanted: Mapping[str, int], beside: Path, files: Path) -> str:
    """Make `files` hold what is wanted and nothing else; return which one is gone, or nothing.

    `wanted` has the octets of each. Raises BackupFailed for one that lacks some.
    """
    descriptor = os.open(files, os.O_DIRECTORY | _FLAGS)
    try:
        there = os.listdir(descriptor)  # noqa: PTH208 -- of an open folder
        for name, octets in sorted(wanted.items()):
            if name not in there:
                try:
                    _copy_file(beside / name, name, descriptor)
                except FileNotFoundError:
                    return name
            copied = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if copied.st_size < octets or not stat.S_ISREG(copied.st_mode):
                raise BackupFailed(
                    f"the content of {name} in {beside} is not whole: drop that message"
                )
        for name in there:
            if name not in wanted:
                os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    return ""


def _copy_file(source: Path, name: str, folder: int) -> None:
    """Copy a file into an open folder. Raises BackupFailed, OSError."""
    with open(os.open(source, _FLAGS), "rb") as given:  # noqa: PTH123 -- a descriptor, so that no link is followed
        found = os.fstat(given.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise BackupFailed(f"{source} is no file")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=folder), "wb") as copy:  # noqa: PTH123
            shutil.copyfileobj(given, copy, _PIECE)
            copy.flush()
            os.fchmod(copy.fileno(), stat.S_IMODE(found.st_mode) & 0o777)
            os.fsync(copy.fileno())

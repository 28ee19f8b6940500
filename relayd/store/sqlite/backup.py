"""A copy of the queue while it is in use: the file, and the content files that belong to it (F-27).

All of it is of one instant: that of the first read. The queue file is copied out of that read
transaction; a content file that is gone by the time it is copied belongs to a message that was
finished meanwhile, so another instant is taken. Files that are there already are kept.

Invariant: where the copy of the queue file has its name, everything is there and synced.
"""

import os
import shutil
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import apsw

from relayd.errors import BackupFailed
from relayd.files import make_folder, rename, sync
from relayd.mail.ids import MessageId, format_id
from relayd.store.sqlite.connection import translate
from relayd.store.sqlite.outside import OutsideReader

_TRIES = 20  # instants


def back_up(queue: str, folder: Path) -> Path:
    """Copy the queue into a folder that is empty or not there; return the copy.

    Raises BackupFailed, StoreUnavailable, SchemaMismatch.
    """
    try:
        with closing(OutsideReader(queue, any_older=True)) as source:
            return _back_up(source, Path(queue), folder)
    except apsw.Error as exc:
        raise translate(exc) from exc
    except OSError as exc:
        raise BackupFailed(f"{exc.filename or folder}: {exc.strerror}") from exc


def _back_up(file: OutsideReader, queue: Path, folder: Path) -> Path:
    source = file.db
    make_folder(folder, 0o700)
    if any(folder.iterdir()):
        raise BackupFailed(f"{folder} is not empty")
    beside, files = Path(f"{queue}.content"), folder / f"{queue.name}.content"
    make_folder(files, 0o700)
    missing = ""
    for _ in range(_TRIES):
        source.execute("BEGIN")
        wanted = [
            MessageId(row[0])
            for row in source.execute("SELECT message_id FROM content WHERE beside")
        ]
        missing = _copy_files(wanted, beside, files)
        if not missing:
            break
        source.execute("ROLLBACK")
    else:
        raise BackupFailed(f"the content of {missing} is not in {beside}: drop that message")
    copy = folder / queue.name
    building = folder / f"{queue.name}.part"
    os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(apsw.Connection(str(building))) as target:
        with target.backup("main", source, "main") as backup:
            backup.step()
        if (found := target.execute("PRAGMA quick_check").get) != "ok":
            raise BackupFailed(f"the copy is damaged: {found}")
    source.execute("ROLLBACK")
    if file.has_changed():  # without a lock, while nobody had it in use
        raise BackupFailed(f"a daemon took {queue} into use meanwhile: back it up again")
    for path in (building, files):
        sync(path)
    rename(building, copy)
    return copy


def _copy_files(wanted: Collection[MessageId], beside: Path, files: Path) -> str:
    """Make `files` hold what is wanted and nothing else; return which one is gone, or nothing."""
    names = {format_id(each) for each in wanted}
    for name in sorted(names):
        if not (files / name).exists():
            try:
                shutil.copy(beside / name, files / name)
            except FileNotFoundError:
                return name
            sync(files / name)
    for path in files.iterdir():
        if path.name not in names:
            path.unlink()
    return ""

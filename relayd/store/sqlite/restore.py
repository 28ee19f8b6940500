"""A backup in the place of the queue, and a queue that leaves its host.

Both check first and change last: a copy that is damaged, too new, or has no room changes nothing, and
what follows is one step (`replacing`). The old queue is kept. Only the process with the daemon's lock may do this.
"""

from pathlib import Path

import apsw

from relayd.errors import BackupFailed, RestoreFailed
from relayd.policy.doctor.machine import QueueFacts
from relayd.store.disk import lacking
from relayd.store.replaced import Replaced
from relayd.store.sqlite import replacing
from relayd.store.sqlite.backup import back_up, copy_into, octets_of
from relayd.store.sqlite.checkup import examine
from relayd.store.sqlite.condition import SIDES
from relayd.store.sqlite.connection import translate


def restore(queue: str, folder: Path, *, force: bool) -> Replaced:
    """Put the backup in `folder` in the place of the queue.

    Without `force` only where no mail waits. Raises RestoreFailed, BackupFailed, StoreError.
    """
    replacing.finish_earlier(queue)
    copy = _copy_in(folder, Path(queue))
    _check_present(queue, force=force)
    found = _sound(str(copy))
    try:
        if message := lacking(str(Path(queue).parent), octets_of(str(copy))):
            raise RestoreFailed(message)
        owner = replacing.owner_of(queue)
        building = replacing.begin(queue, keeps_old=True)
        try:
            copy_into(str(copy), building / Path(queue).name)
            old = replacing.put(queue, owner=owner)
        finally:
            replacing.abandon(queue)
    except BackupFailed as exc:
        raise RestoreFailed(str(exc)) from exc
    except OSError as exc:
        raise RestoreFailed(f"{exc.filename or queue}: {exc.strerror}") from exc
    except apsw.Error as exc:
        raise translate(exc) from exc
    return _replaced(queue, copy, found, old)


def move(queue: str, folder: Path) -> Replaced:
    """Copy the queue into `folder`, and take it out of service here. Raises BackupFailed, StoreError."""
    replacing.finish_earlier(queue)
    copy = back_up(queue, folder)
    found = _sound(str(copy))
    try:
        owner = replacing.owner_of(queue)
        replacing.begin(queue, keeps_old=True)
        old = replacing.put(queue, owner=owner)
    except OSError as exc:
        raise BackupFailed(f"{exc.filename or queue}: {exc.strerror}") from exc
    return _replaced(queue, copy, found, old)


def _replaced(queue: str, copy: Path, found: QueueFacts, old: Path | None) -> Replaced:
    return Replaced(
        queue=queue,
        copy=str(copy),
        waiting=found.waiting,
        held=found.held,
        old=None if old is None else str(old / Path(queue).name),
    )


def _copy_in(folder: Path, queue: Path) -> Path:
    """Return the queue file of a backup. Raises RestoreFailed."""
    try:
        files = [path for path in sorted(folder.iterdir()) if _may_be_a_queue(path)]
    except OSError as exc:
        raise RestoreFailed(f"{folder} is no backup: {exc.strerror}") from exc
    named = [path for path in files if path.name == queue.name] or files
    if len(named) != 1:
        what = "no queue file" if not named else "more than one file that may be the queue"
        raise RestoreFailed(f"{folder} has {what}: name a folder that relayd backup made")
    if queue.exists() and named[0].samefile(queue):
        raise RestoreFailed(f"{named[0]} is the queue itself: name the folder of a backup")
    return named[0]


def _may_be_a_queue(path: Path) -> bool:
    return path.is_file() and not path.name.endswith((*SIDES, ".part", ".lock", ".write", ".new"))


def _sound(copy: str) -> QueueFacts:
    """Return what waits in a copy. Raises RestoreFailed."""
    store, found = examine(copy)
    if found is None:
        reason = store.problem or "; ".join(store.complaints) or "you may not read it"
        raise RestoreFailed(f"{copy} cannot be restored: {reason}")
    return found


def _check_present(queue: str, *, force: bool) -> None:
    """Raise RestoreFailed if mail waits in the queue that is there, or may do so."""
    store, found = examine(queue)
    if force or not store.exists:
        return
    if found is None:
        reason = store.problem or "; ".join(store.complaints) or "you may not read it"
        raise RestoreFailed(
            f"{queue} may have mail that waits, and cannot be read ({reason}):"
            " --force moves it aside, and keeps it"
        )
    if waiting := found.waiting + found.held:
        raise RestoreFailed(
            f"mail to {waiting} recipient{'s' * (waiting > 1)} waits in {queue}, and would not be sent:"
            " --force moves that queue aside, and keeps it"
        )

"""The files that the daemon writes, as its settings name them: whose they are decides who may serve."""

import os
from collections.abc import Iterator
from pathlib import Path

from relayd.errors import StartError
from relayd.file_access import name_of
from relayd.settings import Settings
from relayd.store.url import is_file, lock_file, queue_file

_BESIDE = ("", "-wal", "-shm", ".write", ".content")
_ROOT = 0


def written_files(settings: Settings) -> Iterator[Path]:
    """Yield what is there of queue and status log, and the folders that they are in."""
    log = settings.log.status_log
    files = [Path(log)] if log != "-" and not _is_device(log) else []
    store = settings.store
    if is_file(store.url):
        files += [Path(f"{queue_file(store.url)}{end}") for end in _BESIDE]
    files.append(lock_file(store.url, store.folder))
    for path in dict.fromkeys([*(file.parent for file in files), *files]):
        if os.path.lexists(path):
            yield path


def _is_device(path: str) -> bool:
    """Tell whether it is there and no file: /dev/null, a FIFO, which others may own."""
    return os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113 -- do not raise


def refuse_root(settings: Settings) -> None:
    """Raise StartError if root, who may write anything, would write among the files of another user.

    What root makes there that user cannot use, so the daemon would not start again as itself.
    """
    for path in written_files(settings):
        owner = path.lstat().st_uid
        if owner != _ROOT:
            name = name_of(owner)
            raise StartError(
                f"{path} belongs to {name}, who could not use what root writes there: start relayd by"
                f" `systemctl start relayd`, or as {name} (runuser -u {name} -- relayd serve);"
                " --as-root serves as root all the same"
            )

"""What is wrong with a queue file, in the words of who has to repair it.

SQLite says of a folder, an empty file, another program's file and one of another user the same few
words. Here each has its own, with what to do. No file is opened: who closes a file gives up all locks that
its process has on it, SQLite's too.
"""

import os
import stat

from relayd.errors import StoreUnavailable
from relayd.file_access import name_of, who_may

APPLICATION_ID = 0x72656C61  # "rela"
FILE_MODE = 0o640  # of a queue file: the group may read; the folder says whom that lets in
SIDES = ("-wal", "-shm", "-journal")  # what SQLite has beside a file


def check_file(path: str) -> None:
    """Raise StoreUnavailable for what cannot be a queue, OSError where that is not to be seen."""
    found = os.stat(path)  # noqa: PTH116 -- a name, not a path
    if not stat.S_ISREG(found.st_mode):
        raise no_queue(path, "is a folder" if stat.S_ISDIR(found.st_mode) else "is no file")
    if not found.st_size:
        raise no_queue(path, "is empty")


def check_index(path: str) -> None:
    """Raise StoreUnavailable if SQLite would make the index of the -wal for us, which its owner cannot use.

    For root it makes it as the owner's.
    """
    would_make_it = _is_there(f"{path}-wal") and not _is_there(f"{path}-shm")
    if would_make_it and os.geteuid() not in {0, os.stat(path).st_uid}:  # noqa: PTH116 -- as above
        raise StoreUnavailable(f"{path} was not closed: start relayd, or {who_may(path)}")


def check_to_write(path: str) -> None:
    """Raise StoreUnavailable if the file is no queue, or something beside it is not for us to write."""
    try:
        check_file(path)
    except OSError as exc:
        raise StoreUnavailable(f"{path} cannot be used: {exc.strerror}") from exc
    us = name_of(os.geteuid())
    for name in (path, *(path + side for side in SIDES)):
        if _is_there(name) and not os.access(name, os.R_OK | os.W_OK, effective_ids=True):
            owner = name_of(os.stat(name).st_uid)  # noqa: PTH116 -- as above
            raise StoreUnavailable(
                f"{name} belongs to {owner}, and {us} may not write it: give it to {us} with chown"
            )


def no_queue(path: str, what: str) -> StoreUnavailable:
    """Say that a file is none of ours."""
    return StoreUnavailable(
        f"{path} {what}: name the queue file in [store] url, or move this away;"
        " relayd restore puts a backup in its place"
    )


def _is_there(name: str) -> bool:
    return os.path.exists(name)  # noqa: PTH110 -- as above

"""Who may use our files, in words for those who may not.

Modes and owners decide; access lists may let in more people.
"""

import errno
import grp
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path


def who_may(path: str | Path) -> str:
    """Return who may use a file, and what to do, for somebody who may not. Never raises."""
    found = _nearest(Path(path))
    if found is None:
        return "ask as root"
    owner = name_of(found.st_uid)
    users = "root" if owner == "root" else f"root or {owner}"
    group = _group(found.st_gid)
    if group is None or not found.st_mode & stat.S_IRGRP:
        return f"ask as {users}"
    return f"ask as {users}, or have root add you to the group {group}: usermod -aG {group} YOU"


def unreadable(error: OSError, path: Path) -> str:
    """Return why a file cannot be read; for somebody who may not, also who may. Never raises.

    The daemon says this too, so it is no advice.
    """
    return _reason(error, path, stat.S_IRGRP)


def unwritable(error: OSError, path: Path) -> str:
    """Return the same for a file that cannot be replaced: its folder says who may."""
    return _reason(error, path.parent, stat.S_IWGRP)


def _reason(error: OSError, path: Path, group_may: int) -> str:
    found = _nearest(path) if error.errno == errno.EACCES else None
    if found is None:
        return error.strerror or str(error)
    may = ["root"] if found.st_uid == 0 else ["root", name_of(found.st_uid)]
    if (group := _group(found.st_gid)) is not None and found.st_mode & group_may:
        may.append(f"the group {group}")
    return f"{error.strerror}; only {' and '.join(may)} may"


def name_of(uid: int) -> str:
    """Return the name of a user, or the number of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str | None:
    """Return the name of a group that a person may be in; root's is none."""
    try:
        return grp.getgrgid(gid).gr_name if gid else None
    except KeyError:
        return None


def _nearest(path: Path) -> os.stat_result | None:
    """Look at the file, or at the nearest folder above it that can be seen."""
    for each in (path, *path.absolute().parents):
        with suppress(OSError):
            return each.stat()
    return None

"""Who may use our files, in words for those who may not.

Modes and owners decide; access lists may let in more people.
"""

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

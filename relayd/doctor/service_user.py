"""Which user the daemon runs as, and asking as that user what root may do everywhere.

A child process becomes that user and asks by the same code: modes, owners, groups and access lists all
count, as the kernel has them. Which user that is, the queue says, or the lock of one on a server: its owner, or the owner of its
folder, or `relayd` where there is neither. It is not looked up in the unit, which a container has none of.
"""

import grp
import json
import os
import pwd
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relayd.file_access import name_of
from relayd.store.url import is_file, lock_file, queue_file

UNIT = "relayd.service"
_USUAL = "relayd"
CREDENTIALS = f"/run/credentials/{UNIT}"
_LIMIT = 60_000  # octets: what a pipe holds


@dataclass(frozen=True, slots=True)
class ServiceUser:
    uid: int
    gid: int

    @property
    def name(self) -> str:
        return name_of(self.uid)

    @property
    def group(self) -> str:
        """The name of its own group, or the number of one without."""
        try:
            return grp.getgrgid(self.gid).gr_name
        except KeyError:
            return str(self.gid)

    @property
    def groups(self) -> frozenset[int]:
        """All groups that it is in."""
        try:
            entry = pwd.getpwuid(self.uid)
        except KeyError:
            return frozenset({self.gid})
        return frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))


def service_user(store: str, folder: str = "") -> ServiceUser | None:
    """Return the user that the daemon runs as on the queue at this URL; None: root, or nobody knows.

    `folder` is that of `relayd.store.url.state_folder`, which counts where the queue is no file.
    """
    own = queue_file(store) if is_file(store) else lock_file(store, folder)
    with suppress(OSError):
        status = own.stat()
        return ServiceUser(status.st_uid, status.st_gid) if status.st_uid else None
    with suppress(OSError):
        status = own.parent.stat()
        if status.st_uid:
            return ServiceUser(status.st_uid, status.st_gid)
    with suppress(KeyError):
        entry = pwd.getpwnam(_USUAL)
        return ServiceUser(entry.pw_uid, entry.pw_gid)
    return None


def can_read(user: ServiceUser, path: Path) -> bool:
    """Tell whether that user can read a file. Only root can ask."""
    return ask_as(user, lambda: os.access(path, os.R_OK)) is not False


def ask_as(user: ServiceUser, ask: Callable[[], object]) -> Any:
    """Return what `ask` returns to that user, as JSON has it; None when it gives no answer."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:  # whatever goes wrong, the parent reads nothing then
            _become(user)
            os.write(writer, json.dumps(ask())[:_LIMIT].encode())
        finally:  # at once: what the command does when it ends is not for this user to do
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as answer:
            return json.loads(answer.read())
    except ValueError:
        return None
    finally:
        os.waitpid(child, 0)


def _become(user: ServiceUser) -> None:
    try:
        entry = pwd.getpwuid(user.uid)
    except KeyError:
        os.setgroups([user.gid])
        gid = user.gid
    else:
        gid = entry.pw_gid
        os.initgroups(entry.pw_name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if "CREDENTIALS_DIRECTORY" not in os.environ and Path(CREDENTIALS).is_dir():
        os.environ["CREDENTIALS_DIRECTORY"] = CREDENTIALS

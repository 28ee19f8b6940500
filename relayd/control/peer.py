"""Who is at the other end of a unix socket, by the kernel's word (SO_PEERCRED).

Owns the rule who may use the control socket: root, the daemon's own user, and the group of the
socket file. The file's mode 0660 says the same; this holds even where the mode was changed.
"""

import grp
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from relayd.file_access import name_of
from relayd.unix_peer import credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who asks."""

    name: str  # of the system's user
    is_owner: bool  # root or the daemon's own user, who can read the queue file anyhow


def admitted(connection: socket.socket) -> Peer | None:
    """Return who the peer is; None if it may not come in.

    Asks the user database, which can block.
    """
    uid, gid = credentials(connection)
    own = os.geteuid()
    if not is_admitted(uid, gid, own_uid=own, group=_group_of(connection)):
        return None
    return Peer(name=name_of(uid), is_owner=uid in {0, own})


def is_admitted(uid: int, gid: int, *, own_uid: int, group: int | None) -> bool:
    """Whether a peer may come in; `group` is that of the socket file, None if it has none."""
    if uid in {0, own_uid}:
        return True
    if group is None or gid == group:
        return group is not None
    try:
        return name_of(uid) in grp.getgrgid(group).gr_mem
    except KeyError:
        return False


def _group_of(connection: socket.socket) -> int | None:
    """The group of the socket file; None when there is no file any more."""
    try:
        return Path(connection.getsockname()).stat().st_gid
    except (OSError, ValueError, TypeError):
        return None

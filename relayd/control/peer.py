"""Who is at the other end of a unix socket, by the kernel's word (SO_PEERCRED).

Owns the rule who may use the control socket: root, the daemon's own user, that of the console, and the
group of the socket file. The file's mode 0660 says the same; this holds even where the mode was changed.
"""

import grp
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from relayd.file_access import name_of
from relayd.policy.console.access import CONSOLE_USER, Caller
from relayd.unix_peer import credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who asks."""

    name: str  # of the system's user
    caller: Caller

    @property
    def is_owner(self) -> bool:
        return self.caller is Caller.OWNER


def admitted(connection: socket.socket) -> Peer | None:
    """Return who the peer is; None if it may not come in.

    Asks the user database, which can block.
    """
    uid, gid = credentials(connection)
    name, group = name_of(uid), _group_of(connection)
    caller = caller_of(name, uid, gid, own_uid=os.geteuid(), group=group)
    return None if caller is None else Peer(name=name, caller=caller)


def caller_of(name: str, uid: int, gid: int, *, own_uid: int, group: int | None) -> Caller | None:
    """Return whose process a peer is, None if it may not come in.

    `group` is that of the socket file, None if it has none. The console's user is known by its name, before
    its groups are looked at: it must not pass for a person of the group.
    """
    if uid in {0, own_uid}:
        return Caller.OWNER
    if name == CONSOLE_USER:
        return Caller.CONSOLE
    return Caller.GROUP if _is_in(group, name, gid) else None


def _is_in(group: int | None, name: str, gid: int) -> bool:
    if group is None or gid == group:
        return group is not None
    try:
        return name in grp.getgrgid(group).gr_mem
    except KeyError:
        return False


def _group_of(connection: socket.socket) -> int | None:
    """The group of the socket file; None when there is no file any more."""
    try:
        return Path(connection.getsockname()).stat().st_gid
    except (OSError, ValueError, TypeError):
        return None

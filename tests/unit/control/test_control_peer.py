import grp
import os
import pwd
import socket

import pytest

from relayd.control import peer
from relayd.policy.console.access import CONSOLE_USER, Caller

OWN, OTHER, GROUP = 990, 60_001, 60_002

CASES = {
    "root": ("root", 0, 0, GROUP, Caller.OWNER),
    "the daemon's user": ("relayd", OWN, OTHER, None, Caller.OWNER),
    "the daemon's user, as the console": (CONSOLE_USER, OWN, OWN, GROUP, Caller.OWNER),
    "the console": (CONSOLE_USER, OTHER, OTHER, GROUP, Caller.CONSOLE),
    "the console, no socket file": (CONSOLE_USER, OTHER, OTHER, None, Caller.CONSOLE),
    "the console in the socket's group": (CONSOLE_USER, OTHER, GROUP, GROUP, Caller.CONSOLE),
    "the socket's group": ("ann", OTHER, GROUP, GROUP, Caller.GROUP),
    "another user": ("ann", OTHER, OTHER, GROUP, None),
    "another user, no socket file": ("ann", OTHER, OTHER, None, None),
}


@pytest.mark.parametrize(("name", "uid", "gid", "group", "caller"), CASES.values(), ids=CASES)
def test_who_is_let_in(
    name: str, uid: int, gid: int, group: int | None, caller: Caller | None
) -> None:
    assert peer.caller_of(name, uid, gid, own_uid=OWN, group=group) is caller


def test_supplementary_member_is_let_in() -> None:
    """A user whom the group's entry lists is a member, whatever the primary group."""
    for entry in grp.getgrall():
        for name in entry.gr_mem:
            try:
                user = pwd.getpwnam(name)
            except KeyError:
                continue
            if user.pw_gid != entry.gr_gid:
                caller = peer.caller_of(
                    name, user.pw_uid, user.pw_gid, own_uid=OWN, group=entry.gr_gid
                )
                assert caller is (Caller.OWNER if user.pw_uid == 0 else Caller.GROUP)
                return
    pytest.skip("no group here lists a member")


def test_peer_is_named_by_the_kernel() -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        name = pwd.getpwuid(os.geteuid()).pw_name
        assert peer.admitted(left) == peer.Peer(name=name, caller=Caller.OWNER)

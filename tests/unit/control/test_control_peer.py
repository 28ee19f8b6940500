import grp
import os
import pwd
import socket

import pytest

from relayd.control import peer

OWN, OTHER, GROUP = 990, 60_001, 60_002

CASES = {
    "root": (0, 0, GROUP, True),
    "the daemon's user": (OWN, OTHER, None, True),
    "the socket's group": (OTHER, GROUP, GROUP, True),
    "another user": (OTHER, OTHER, GROUP, False),
    "another user, no socket file": (OTHER, OTHER, None, False),
}


@pytest.mark.parametrize(("uid", "gid", "group", "admitted"), CASES.values(), ids=CASES)
def test_who_is_let_in(uid: int, gid: int, group: int | None, *, admitted: bool) -> None:
    assert peer.is_admitted(uid, gid, own_uid=OWN, group=group) is admitted


def test_supplementary_member_is_let_in() -> None:
    """A user whom the group's entry lists is a member, whatever the primary group."""
    for entry in grp.getgrall():
        for name in entry.gr_mem:
            try:
                user = pwd.getpwnam(name)
            except KeyError:
                continue
            if user.pw_gid != entry.gr_gid:
                assert peer.is_admitted(user.pw_uid, user.pw_gid, own_uid=OWN, group=entry.gr_gid)
                return
    pytest.skip("no group here lists a member")


def test_peer_is_named_by_the_kernel() -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        name = pwd.getpwuid(os.geteuid()).pw_name
        assert peer.admitted(left) == peer.Peer(name=name, is_owner=True)

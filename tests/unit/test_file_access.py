"""Who may not use a file is told why, and who may."""

import errno
import os
from pathlib import Path

import pytest

from relayd.file_access import unreadable, unwritable
from tests.support.other_users import DAEMON, needs_root

DENIED = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@needs_root
@pytest.mark.parametrize(
    ("owner", "group", "mode", "told"),
    [
        (0, 0, 0o600, "only root may"),
        (0, 0, 0o660, "only root may"),  # nobody else is in that group
        (0, 1, 0o600, "only root may"),
        (0, 1, 0o660, "only root and the group daemon may"),
        (DAEMON.uid, 1, 0o600, f"only root and uid {DAEMON.uid} may"),
        (DAEMON.uid, 1, 0o660, f"only root and uid {DAEMON.uid} and the group daemon may"),
        (DAEMON.uid, DAEMON.groups[0], 0o660, f"only root and uid {DAEMON.uid} may"),  # no name
    ],
)
def test_who_may_is_what_owner_and_mode_say(
    tmp_path: Path, owner: int, group: int, mode: int, told: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    for each in (file, tmp_path):  # who may write replaces the file in its folder
        os.chown(each, owner, group)
        each.chmod(mode)
    assert unreadable(DENIED, file) == f"Permission denied; {told}"
    assert unwritable(DENIED, file) == f"Permission denied; {told}"


def test_nobody_is_named_for_another_reason(tmp_path: Path) -> None:
    missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    assert unreadable(missing, tmp_path / "file") == "No such file or directory"
    assert unwritable(missing, tmp_path / "file") == "No such file or directory"

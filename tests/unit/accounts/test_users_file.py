"""The users file on the disk: what is refused, and a change in one step."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from relayd.accounts.users_file import change_users, read_users
from relayd.errors import UsersError
from relayd.mail.account import Account
from tests.support.accounts import cheap_hash


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"app hunter2\n", 0o600, "line 1"),
        (b"\xff", 0o600, "UTF-8"),
        (b"", 0o604, "chmod o-rwx"),
        (b"#" * ((4 << 20) + 1), 0o600, "at most"),
    ],
)
def test_a_file_of_no_use_is_refused(tmp_path: Path, content: bytes, mode: int, words: str) -> None:
    file = tmp_path / "users"
    file.write_bytes(content)
    file.chmod(mode)
    for use in (
        read_users,
        lambda path: change_users(path, lambda text, _: text, group=os.getegid()),
    ):
        with pytest.raises(UsersError, match=words) as caught:
            use(file)
        assert "hunter2" not in str(caught.value)
    assert file.read_bytes() == content


@pytest.mark.parametrize("kind", ["absent", "directory"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsersError):
        read_users(tmp_path / "users" if kind == "absent" else tmp_path)


def test_a_change_is_one_step(tmp_path: Path) -> None:
    """Mode and group stay; what a killed command left is no hindrance; a failure leaves nothing."""
    file = tmp_path / "users"
    (tmp_path / ".users.new").write_text("left over")
    line = f"app {cheap_hash('x')}\n"
    change_users(file, lambda text, _: text + line, group=os.getegid())
    assert (file.read_text(), file.stat().st_mode & 0o777) == (line, 0o640)
    assert file.stat().st_gid == tmp_path.stat().st_gid
    file.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(file)
    change_users(link, lambda text, _: "# more\n" + text, group=os.getegid())
    assert (file.read_text(), file.stat().st_mode & 0o777) == (f"# more\n{line}", 0o600)
    with pytest.raises(UsersError, match="line 1"):
        change_users(file, lambda *_: "nonsense", group=os.getegid())
    with pytest.raises(UsersError, match="written"):
        change_users(tmp_path / "absent" / "users", lambda text, _: text, group=os.getegid())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "users"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_owner_and_group_stay(tmp_path: Path) -> None:
    """And a new file gets the group that is asked for."""
    file = tmp_path / "users"
    change_users(file, lambda text, _: text, group=4321)
    assert (file.stat().st_uid, file.stat().st_gid) == (os.geteuid(), 4321)
    os.chown(file, 1234, 1235)
    change_users(file, lambda text, _: text, group=4321)
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1235)


def test_changes_wait_for_each_other(tmp_path: Path) -> None:
    file = tmp_path / "users"

    def add(number: int) -> None:
        def change(text: str, _: Mapping[str, Account]) -> str:
            time.sleep(0.01)  # long enough for the others to have read, if they could
            return f"{text}u{number} {cheap_hash('x')}\n"

        change_users(file, change, group=os.getegid())

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_users(file)) == 8

"""The queue's lock: one holder, never stale, nothing else touched."""

import os
import stat
from pathlib import Path

import pytest

from relayd.errors import StartError
from relayd.supervisor.lock import QueueLock


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    """The refusal names the holder; the file stays, since removing it would let two in."""
    url = f"sqlite:{tmp_path}/queue/queue.db"
    lock = QueueLock(url)
    with pytest.raises(StartError, match=rf"process {os.getpid()} or a worker"):
        QueueLock(url)
    lock.close()
    lock.close()
    QueueLock(url).close()
    file = tmp_path / "queue" / "queue.db.lock"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750
    assert file.read_text() == f"{os.getpid()}\n"


def test_a_copy_of_the_descriptor_holds_the_lock(tmp_path: Path) -> None:
    """So it does in a worker whose supervisor is gone (F-20)."""
    url = f"sqlite:{tmp_path}/queue.db"
    lock = QueueLock(url)
    assert lock._descriptor is not None
    copy = os.dup(lock._descriptor)
    lock.close()
    try:
        with pytest.raises(StartError):
            QueueLock(url)
    finally:
        os.close(copy)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "queue.db.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match="cannot open the queue's lock"):
        QueueLock(f"sqlite:{tmp_path}/queue.db")
    assert not (tmp_path / "elsewhere").exists()


def test_parents_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot create the directory"):
        QueueLock(f"sqlite:{tmp_path}/a/b/queue.db")
    assert list(tmp_path.iterdir()) == []


def test_a_queue_on_a_server_has_one_daemon_on_each_machine(tmp_path: Path) -> None:
    """Whatever the server: what is in the folder has one owner."""
    lock = QueueLock("postgresql://db.example/relayd", str(tmp_path))
    with pytest.raises(StartError, match=r"the queue postgresql://other\.example/relayd: process"):
        QueueLock("postgresql://other.example/relayd", str(tmp_path))
    lock.close()
    assert (tmp_path / "relayd.lock").exists()

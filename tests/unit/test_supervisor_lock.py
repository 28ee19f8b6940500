"""The queue's lock: one holder, never stale, nothing else touched."""

import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relayd.errors import QueueInUse, StartError
from relayd.supervisor.lock import QueueLock, lock_at_start


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


def test_a_start_waits_for_the_workers_of_a_daemon_that_was_killed(tmp_path: Path) -> None:
    """Until they are gone, or its time is over; not for a daemon that lives."""
    url = f"sqlite:{tmp_path}/queue.db"
    lock = QueueLock(url)
    assert lock._descriptor is not None
    with pytest.raises(QueueInUse):  # this process lives
        lock_at_start(url, within=60)
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    lock.path.write_text(f"{dead.pid}\n")
    with subprocess.Popen(
        ["sh", "-c", "read line"], stdin=subprocess.PIPE, pass_fds=[lock._descriptor]
    ) as worker:
        lock.close()
        with pytest.raises(QueueInUse, match=f"process {dead.pid} or a worker"):
            lock_at_start(url, within=0)
        with ThreadPoolExecutor(1) as starting:
            taken = starting.submit(lock_at_start, url, within=30)
            worker.communicate(b"\n")
            taken.result(30).close()


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

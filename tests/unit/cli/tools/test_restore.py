"""`relayd restore` and `relayd move`: who may, while nobody serves the queue, and what they say."""

import os
from pathlib import Path

import pytest

from relayd.store import back_up
from relayd.supervisor.lock import QueueLock
from tests.support.builders import a_message
from tests.support.cli_world import World, enqueue


@pytest.fixture
async def backup(world: World) -> Path:
    """A backup of the world's queue, in which mail to one recipient waits."""
    store = world.open_store()
    await enqueue(store, a_message("a@x.test"))
    await store.close()
    folder = world.folder / "backup"
    back_up(f"sqlite:{world.folder}/queue.db", folder)
    return folder


def test_what_it_says(world: World, backup: Path) -> None:
    ran = world.run("restore", "--force", str(backup))
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"restored {world.folder}/queue.db from {backup}/queue.db: mail to 1 recipient waits, 0 are held",
        f"the queue that was there is kept: {world.folder}/queue.db.old-1/queue.db",
        "next: systemctl start relayd; what was delivered after the backup is sent again",
    ]
    [row] = world.run("status", "--json").rows
    assert row["rcpt"] == "a@x.test"
    [told] = world.run("restore", "--force", "--json", str(backup)).rows
    assert told == {
        "queue": f"{world.folder}/queue.db",
        "from": f"{backup}/queue.db",
        "waiting": 1,
        "held": 0,
        "old": f"{world.folder}/queue.db.old-2/queue.db",
    }


def test_mail_that_waits(world: World, backup: Path) -> None:
    ran = world.run("restore", str(backup))
    assert ran.status == os.EX_CANTCREAT
    assert "mail to 1 recipient waits" in ran.err
    assert "--force" in ran.err


@pytest.mark.parametrize("command", ["restore", "move"])
def test_a_daemon_has_the_queue(world: World, backup: Path, command: str) -> None:
    lock = QueueLock(f"sqlite:{world.folder}/queue.db")
    ran = world.run(command, str(backup))
    lock.close()
    assert ran.status == os.EX_UNAVAILABLE
    assert "another relayd serves the queue" in ran.err
    assert "systemctl stop relayd" in ran.err


@pytest.mark.parametrize("command", ["restore", "move"])
def test_another_user(
    world: World, backup: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    ran = world.run(command, str(backup))
    assert ran.status == os.EX_NOPERM
    assert f"you may not change {world.folder}/queue.db: run this as root" in ran.err


def test_no_daemon_starts_meanwhile(
    world: World, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def looking(*_: object, **__: object) -> None:
        ran = world.run("move", str(world.folder / "another"))
        refused.append(ran.status)

    monkeypatch.setattr("relayd.store.restore", looking)
    with pytest.raises(AttributeError):  # it gets no answer from `looking`
        world.run("restore", "--force", str(backup))
    assert refused == [os.EX_UNAVAILABLE]


@pytest.mark.usefixtures("backup")
def test_a_queue_that_moves(world: World) -> None:
    folder = world.folder / "moved"
    ran = world.run("move", str(folder))
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"moved {world.folder}/queue.db to {folder}/queue.db: mail to 1 recipient waits, 0 are held",
        f"out of service here, and kept: {world.folder}/queue.db.old-1/queue.db",
        f"next: copy {folder} to the other host, and run relayd restore there",
    ]
    assert world.run("status").status == os.EX_UNAVAILABLE  # no queue
    assert world.run("restore", str(folder)).status == 0
    [row] = world.run("status", "--json").rows
    assert row["rcpt"] == "a@x.test"


def test_a_queue_that_moves_to_json(world: World, backup: Path) -> None:
    [told] = world.run("move", "--json", str(world.folder / "moved")).rows
    assert told["to"] == f"{world.folder}/moved/queue.db"
    assert told["old"] == f"{world.folder}/queue.db.old-1/queue.db"
    assert backup.exists()

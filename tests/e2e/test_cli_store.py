"""`relayd store compact`: while the daemon works, and while it is stopped."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from relayd.ports.view import Query
from relayd.store import disk, open_view
from relayd.store.sqlite import compacting
from tests.support.builders import a_message, settlements_of
from tests.support.cli_world import World, make_world
from tests.support.clock import START
from tests.support.control_server import a_control_server
from tests.support.stores import LEASE
from tests.support.terminal import left_on_screen
from tests.support.workers import registered

AGO = START - timedelta(days=1000)
MANY = 300


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


@pytest.fixture
async def queue(world: World) -> Path:
    """A queue file that old history has made large, with one message that waits."""
    world.clock.jump(AGO - START)
    store = world.open_store()
    worker = await registered(store, "worker")
    for number in range(MANY):
        message = a_message(f"old{number}@x.test", at=AGO, tag="t" * 4000)
        for work in await store.enqueue(message, worker=worker, lease_for=LEASE):
            await store.settle(work.lease, settlements_of(work))
    world.clock.jump(START - AGO)
    await store.enqueue(a_message("waits@x.test"), worker=worker, lease_for=None)
    await store.close()
    return world.folder / "queue.db"


@contextlib.asynccontextmanager
async def daemon(world: World) -> AsyncIterator[None]:
    store = world.open_store()
    async with a_control_server(world.socket, store):
        yield
    await store.close()


def made_by_an_older_relayd(queue: Path) -> None:
    """Turn off what is only decided when a file is created."""
    with closing(apsw.Connection(str(queue))) as db:
        for sql in ("PRAGMA journal_mode=DELETE", "PRAGMA auto_vacuum=NONE", "VACUUM"):
            db.execute(sql).fetchall()
        assert db.execute("PRAGMA auto_vacuum").get == 0


def size(queue: Path) -> int:
    return queue.stat().st_size


def what_is_left(world: World) -> list[str]:
    with closing(open_view(f"sqlite:{world.folder}/queue.db")) as view:
        return [row.address for row in view.find(Query(), limit=9)]


async def test_while_the_daemon_works(world: World, queue: Path) -> None:
    async with daemon(world):
        before = size(queue)
        [told] = (await asyncio.to_thread(world.run, "store", "compact", "--json")).rows
        assert told["purged"] == MANY
        assert told["octets"] == size(queue) < before / 2
        assert told["freed"] == before - told["octets"]
        assert what_is_left(world) == ["waits@x.test"]
        again = await asyncio.to_thread(world.run, "store", "compact")
        assert again.out.splitlines()[0] == "deleted the history of 0 messages"
        assert again.out.splitlines()[1].startswith("freed 0.0 MB: ")


async def test_an_older_file_says_what_to_do(world: World, queue: Path) -> None:
    made_by_an_older_relayd(queue)
    async with daemon(world):
        ran = await asyncio.to_thread(world.run, "store", "compact")
    assert ran.status == os.EX_TEMPFAIL
    assert "has to be copied once: systemctl stop relayd" in ran.err
    before = size(queue)
    ran = world.run("store", "compact")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[1].startswith("freed ")
    assert size(queue) < before / 2
    with closing(apsw.Connection(str(queue))) as db:
        assert db.execute("PRAGMA auto_vacuum").get == compacting.INCREMENTAL
        assert db.execute("PRAGMA integrity_check").get == "ok"
    assert what_is_left(world) == ["waits@x.test"]


def test_while_it_is_stopped(world: World, queue: Path) -> None:
    before = size(queue)
    names = {path.name for path in world.folder.iterdir()}
    [told] = world.run("store", "compact", "--json").rows
    assert told == {
        "queue": str(queue),
        "purged": MANY,
        "freed": before - size(queue),
        "octets": size(queue),
    }
    assert told["freed"] > before / 2
    assert what_is_left(world) == ["waits@x.test"]
    assert {path.name for path in world.folder.iterdir()} == {*names, "queue.db.lock"}


def test_without_room_for_the_copy(
    world: World, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "spare", lambda _: 1000)
    ran = world.run("store", "compact")
    assert ran.status == os.EX_TEMPFAIL
    assert "the copy takes" in ran.err
    assert "make room on the disk" in ran.err
    assert what_is_left(world) == ["waits@x.test"]
    assert not queue.with_name("queue.db.restoring").exists()
    assert disk.spare(str(world.folder)) > 0


def test_no_queue(world: World) -> None:
    ran = world.run("store", "compact")
    assert ran.status != os.EX_OK
    assert "Traceback" not in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_terminal_sees_how_far_it_is(
    world: World, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(compacting, "_EVERY", 100)
    ran = world.run("store", "compact")
    assert " MB of " in ran.err
    assert left_on_screen(ran.err.encode(), columns=80) == []
    assert queue.exists()

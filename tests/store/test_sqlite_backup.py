"""A copy of a queue that is in use: of one instant, whole, and usable as a queue (F-27)."""

import asyncio
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from relayd.errors import BackupFailed, StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, format_id
from relayd.ports.queue import Work
from relayd.store import back_up
from tests.support.builders import CONTENT, a_message, a_settlement
from tests.support.stores import Box, open_sqlite
from tests.support.workers import registered

REST = b"x" * 998 + b"\r\n"


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    opened = open_sqlite(tmp_path)
    yield opened
    await opened.close()


def url(folder: Path) -> str:
    return f"sqlite:{folder}/queue.db"


def large(box: Box, address: str) -> NewMessage:
    spool = box.store.spool()
    spool.write(REST)
    return replace(a_message(address), content=spool.finish(CONTENT))


async def finish(box: Box, works: "list[Work]") -> None:
    for work in works:
        await box.store.settle(work.lease, [a_settlement(work.message.id)])


async def restored(folder: Path) -> dict[str, bytes]:
    """Open a copy as a queue; return what waits in it, with its content."""
    copy = open_sqlite(folder)
    worker = await registered(copy.store, "worker", boot="another")
    found = {}
    for work in await copy.claim(worker):
        content = work.content or await copy.store.content(work.message.id)
        assert content is not None
        found[work.recipients[0].address] = content[:]
    await copy.close()
    return found


async def test_the_copy_is_a_queue_with_its_history(tmp_path: Path, box: Box) -> None:
    worker = await registered(box.store, "worker")
    works = list(await box.put(a_message("done@x.test"), worker=worker, leased=True))
    await finish(box, works)
    await box.put(a_message("small@x.test"), worker=worker)
    await box.put(large(box, "large@x.test"), worker=worker)
    copy = back_up(url(tmp_path), tmp_path / "copy")
    assert copy == tmp_path / "copy" / "queue.db"
    assert {path.name for path in copy.parent.iterdir()} == {"queue.db", "queue.db.content"}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert await restored(copy.parent) == {
        "small@x.test": CONTENT,
        "large@x.test": CONTENT + REST,
    }
    with closing(open_sqlite(copy.parent).view) as view:
        assert view.history(works[0].message.id)


async def test_what_comes_later_is_not_in_it(tmp_path: Path, box: Box) -> None:
    worker = await registered(box.store, "worker")
    await box.put(large(box, "before@x.test"), worker=worker)
    back_up(url(tmp_path), tmp_path / "copy")
    await box.put(large(box, "after@x.test"), worker=worker)
    assert list(await restored(tmp_path / "copy")) == ["before@x.test"]


async def test_under_load_every_copy_is_consistent(tmp_path: Path, box: Box) -> None:
    """Large messages come and go while it is copied, again and again; some go before their copy."""
    worker = await registered(box.store, "worker")
    waiting = [await box.put(large(box, "c@x.test"), worker=worker, leased=True) for _ in range(99)]
    done = threading.Event()

    def copy_often() -> None:
        try:
            for number in range(10):
                back_up(url(tmp_path), tmp_path / f"copy{number}")
        finally:
            done.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(copy_often))
        while not done.is_set():
            works = list(await box.put(large(box, "a@x.test"), worker=worker, leased=True))
            await box.put(large(box, "b@x.test"), worker=worker)
            await finish(box, works)
            await finish(box, list(waiting.pop() if waiting else ()))
    for number in range(10):
        folder = tmp_path / f"copy{number}"
        with closing(apsw.Connection(str(folder / "queue.db"))) as db:
            assert db.execute("PRAGMA integrity_check").get == "ok"
            rows = db.execute("SELECT message_id FROM content WHERE beside").fetchall()
        names = {path.name for path in (folder / "queue.db.content").iterdir()}
        assert names == {format_id(MessageId(int(str(row[0])))) for row in rows}


async def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, box: Box) -> None:
    with pytest.raises(BackupFailed, match="is not empty"):
        back_up(url(tmp_path), tmp_path)
    assert box.rows() == []


async def test_a_file_that_is_missing_for_good(tmp_path: Path, box: Box) -> None:
    """That queue is damaged: no copy of it passes for a good one."""
    message = large(box, "a@x.test")
    await box.put(message, worker=await registered(box.store, "worker"))
    (tmp_path / "queue.db.content" / format_id(message.id)).unlink()
    with pytest.raises(BackupFailed, match=f"the content of {format_id(message.id)} is not in"):
        back_up(url(tmp_path), tmp_path / "copy")
    assert not (tmp_path / "copy" / "queue.db").exists()


def test_no_queue(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no queue yet"):
        back_up(url(tmp_path), tmp_path / "copy")


async def test_no_place_for_it(tmp_path: Path, box: Box) -> None:
    assert box.rows() == []
    with pytest.raises(BackupFailed, match="No such file or directory"):
        back_up(url(tmp_path), tmp_path / "no" / "copy")

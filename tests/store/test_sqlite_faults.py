"""What the queue file does wrong is told as a fault of the store, and ends what has to end."""

import asyncio
import errno
import fcntl
import os
import threading
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from relayd.errors import StoreBroken, StoreUnavailable
from relayd.mail.operator import Action
from relayd.ports.view import Query
from relayd.store.sqlite import writer
from relayd.store.sqlite.lock import FileLock
from relayd.store.sqlite.queue import SqliteStore
from tests.support.builders import a_message
from tests.support.stores import LEASE, Box, open_sqlite
from tests.support.workers import registered


def fail_commits(box: Box) -> None:
    """Let every commit fail as if the disk had; a refusal by SQLite's own hook is no FullError."""
    assert isinstance(box.store, SqliteStore)
    box.store._writer._db.set_commit_hook(lambda: True)


async def test_after_an_unknown_commit_nothing_else_is_promised(tmp_path: Path) -> None:
    """HQ-03: whoever asks next learns that this process is done for, not that it may try again.

    An operator's request may be the only one in the turn, and it ends no worker.
    """
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "1")
    message = a_message("a@x.test")
    await box.put(message, worker=worker)
    fail_commits(box)
    with pytest.raises(StoreBroken):
        await box.store.act(Query(message_id=message.id), Action.HOLD, by="me", reason="why not")
    for _ in range(2):
        with pytest.raises(StoreBroken):
            await box.claim(worker)
    with pytest.raises(StoreBroken):
        await box.store.extend([], worker=worker, lease_for=timedelta(seconds=1))
    await box.close()


async def test_a_file_that_cannot_be_read_is_a_fault_of_the_store(tmp_path: Path) -> None:
    """Not an exception of the library, which would end the worker in the middle of its attempts."""
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "1")
    message = a_message("a@x.test")
    await box.store.enqueue(message, worker=worker, lease_for=LEASE)
    with apsw.Connection(str(tmp_path / "queue.db")) as db:
        db.execute("DROP TABLE content; DROP TABLE destination")
    db.close()
    with pytest.raises(StoreUnavailable):
        await box.store.content(message.id)
    with pytest.raises(StoreUnavailable):
        await box.claim(worker)
    await box.close()


async def test_nothing_is_tried_again_on_a_handle_that_failed(tmp_path: Path) -> None:
    """Nor for those that came with the others: one failed, so each was tried alone."""
    box = open_sqlite(tmp_path)
    assert isinstance(box.store, SqliteStore)
    writer, results = box.store._writer, iter([True])
    writer._db.set_commit_hook(lambda: next(results, False))
    wrong = ("SELECT nothing FROM nowhere", "SELECT 1")

    def ask(sql: str) -> "asyncio.Future[object]":
        return writer.submit(lambda db: db.execute(sql).get)

    asked = [ask(sql) for sql in ("SELECT 1", *wrong)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreBroken] * 3
    await box.close()


async def test_who_waits_too_long_for_a_turn_is_told_so_and_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-04, S-02: 451 promises that the message is never delivered."""
    monkeypatch.setattr(writer, "_PATIENCE", 0.05)
    monkeypatch.setattr(writer, "_LOOK", 0.01)
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "1")
    other = FileLock(f"{tmp_path}/queue.db.write")
    other.acquire()
    with pytest.raises(StoreUnavailable, match="no turn"):
        await box.put(a_message("late@x.test"), worker=worker)
    patient = asyncio.ensure_future(box.claim(worker))
    other.release()
    assert await patient == []
    await box.put(a_message("a@x.test"), worker=worker)
    assert [row.address for row in box.rows()] == ["a@x.test"]
    other.close()
    await box.close()


async def test_a_commit_that_has_begun_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-04: it cannot be called back, so nobody is told that it failed."""
    box = open_sqlite(tmp_path)
    assert isinstance(box.store, SqliteStore)
    worker, go_on = await registered(box.store, "1"), threading.Event()
    sync = box.store._writer._wal.sync
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(5)
        sync()

    monkeypatch.setattr(box.store._writer._wal, "sync", wait)
    stored = asyncio.ensure_future(box.put(a_message("a@x.test"), worker=worker))
    await begun.wait()
    for request in [found() for _, found in box.store._writer._impatient]:
        assert request is not None
        box.store._writer._abandon(request)
    assert not stored.done()
    go_on.set()
    await stored
    assert len(box.rows()) == 1
    await box.close()


async def test_a_turn_that_the_system_has_no_room_for_is_told_to_who_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one is taken: the writing thread lives."""
    box = open_sqlite(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(fcntl, "flock", no_room)
        with pytest.raises(StoreUnavailable, match="No locks available"):
            await registered(box.store, "1")
    await registered(box.store, "1")
    await box.close()


def no_room(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


async def test_without_a_thread_nothing_is_read_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = open_sqlite(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(StoreUnavailable, match="can't start new thread"):
            await box.store.content(a_message().id)
        await box.close()


def no_thread(_: object) -> None:
    raise RuntimeError("can't start new thread")

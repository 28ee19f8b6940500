"""The secret of a queue file, and that mail which came back is stored wholly or not at all."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from relayd.errors import StoreError
from relayd.mail.event import Event
from relayd.mail.words import EventKind
from relayd.policy.verp import VerpToken
from relayd.ports.queue import LateNotice
from relayd.ports.view import Query, Status
from relayd.store.sqlite.queue import SqliteStore
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.clock import FakeClock
from tests.support.stores import open_sqlite
from tests.support.workers import registered


@asynccontextmanager
async def a_store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(str(path), clock=FakeClock(), slots={})
    try:
        yield store
    finally:
        await store.close()


def secret_of(path: Path) -> bytes:
    """Ask as a process of its own does."""

    async def ask() -> bytes:
        async with a_store(path) as store:
            return await store.secret()

    return asyncio.run(ask())


async def test_every_handle_has_the_same_secret(tmp_path: Path) -> None:
    """Opened twice at a time, opened again, asked for from other processes."""
    path = tmp_path / "queue.db"
    async with a_store(path) as one, a_store(path) as other:
        first = await one.secret()
        assert await other.secret() == first
    async with a_store(path) as again:
        assert await again.secret() == first
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        assert processes.map(secret_of, [path] * 2) == [first] * 2


async def test_no_two_queues_have_the_same(tmp_path: Path) -> None:
    async with a_store(tmp_path / "one.db") as one, a_store(tmp_path / "two.db") as two:
        assert await one.secret() != await two.secret()


async def test_the_news_and_the_copy_are_one_commit(tmp_path: Path) -> None:
    """If the event cannot be written, nothing is: the client is told 451 and sends it again."""
    box = open_sqlite(tmp_path)
    message = a_message(at=box.clock.now())
    worker = await registered(box.store, "worker")
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work))
    with apsw.Connection(str(tmp_path / "queue.db")) as db:
        db.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'no'); END"
        )
    event = Event(
        kind=EventKind.LATE_BOUNCED,
        at=box.clock.now(),
        message_id=message.id,
        recipient=0,
        detail={},
    )
    copy = a_message("app@app.test", at=box.clock.now(), reverse_path="")
    with pytest.raises(StoreError):
        await box.store.note_late(
            VerpToken(message_id=message.id, recipient=0),
            LateNotice(event=event, outcome=a_bounce()),
            copy,
        )
    assert box.row(message).status is Status.RELAYED
    assert box.rows(Query(message_id=copy.id)) == []
    await box.close()


async def test_a_broken_file_is_a_fault_of_the_store(tmp_path: Path) -> None:
    """So the server that brings a bounce is told 451, and not cut off."""
    box = open_sqlite(tmp_path)
    with apsw.Connection(str(tmp_path / "queue.db")) as db:
        db.execute("DROP TABLE recipient")
    db.close()
    with pytest.raises(StoreError):
        box.rows()
    await box.close()

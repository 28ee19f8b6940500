"""Requeueing on SQLite: content files, and a disk that gets short."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.errors import StoreFull
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber, format_id
from relayd.mail.requeue import RequeueCounts
from relayd.ports.queue import Batch
from relayd.ports.view import Query
from relayd.store.sqlite import requeue
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.clock import FakeClock
from tests.support.requeueing import a_requeue
from tests.support.stores import SLOTS, Box
from tests.support.workers import registered

HEAD, REST = b"Subject: large\r\n\r\n", b"one\r\n" * 1000
MIB = 1024 * 1024


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    clock, path = FakeClock(), str(tmp_path / "queue.db")
    store = SqliteStore.open(path, clock=clock, slots=SLOTS, keeps_bounced=True)
    kept = Box(store=store, view=SqliteView(path), clock=clock)
    yield kept
    await kept.close()


@pytest.fixture
async def worker(box: Box) -> WorkerNumber:
    return await registered(box.store, "worker")


async def bounced(box: Box, worker: WorkerNumber, *, is_large: bool = False) -> NewMessage:
    message = a_message("a@x.test")
    if is_large:
        spool = box.store.spool()
        spool.write(REST)
        message = replace(message, content=spool.finish(HEAD))
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, a_bounce()))
    return message


async def test_both_messages_have_the_large_content(
    box: Box, worker: WorkerNumber, tmp_path: Path
) -> None:
    """One file with two names, so it takes no room; each goes with its message."""
    old = await bounced(box, worker, is_large=True)
    [new] = (await box.store.requeue(Query(), a_requeue(box.clock))).messages
    files = [tmp_path / "queue.db.content" / format_id(each.id) for each in (old, new)]
    assert files[0].samefile(files[1])
    box.advance(60)
    assert (await box.store.let_go(box.clock.now())).messages == 1
    assert [file.exists() for file in files] == [False, True]
    content = await box.store.content(new.id)
    assert content is not None
    assert content[:] == HEAD + REST
    [work] = await box.claim(worker)
    await box.store.settle(work.lease, settlements_of(work))
    assert not files[1].exists()


async def test_a_file_that_is_missing_is_content_that_is_gone(
    box: Box, worker: WorkerNumber, tmp_path: Path
) -> None:
    old = await bounced(box, worker, is_large=True)
    (tmp_path / "queue.db.content" / format_id(old.id)).unlink()
    done = await box.store.requeue(Query(), a_requeue(box.clock))
    assert (done.counts, done.messages) == (RequeueCounts(matched=1, suppressed=1, gone=1), ())


def free(monkeypatch: pytest.MonkeyPatch, mib: int) -> None:
    def statvfs(_: str) -> os.statvfs_result:
        return os.statvfs_result((MIB, MIB, 10**6, mib, mib, 1000, 900, 900, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)


async def test_what_is_kept_goes_before_the_disk_is_full(
    box: Box, worker: WorkerNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While new mail is still taken, and whatever its age."""
    for is_large in (True, False):
        await bounced(box, worker, is_large=is_large)
    long_ago = box.rows()[0].received_at.replace(year=2000)
    free(monkeypatch, 5000)
    box.advance(10)
    assert (await box.store.let_go(long_ago)).messages == 0
    free(monkeypatch, 200)
    box.advance(10)
    assert box.store.has_room()
    assert (await box.store.let_go(long_ago)).messages == 2
    assert (await box.store.let_go(long_ago)).messages == 0
    done = await box.store.requeue(Query(), a_requeue(box.clock))
    assert (done.counts.changed, done.counts.gone) == (0, 2)


async def test_a_full_disk_takes_no_copies(
    box: Box, worker: WorkerNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bounced(box, worker)
    free(monkeypatch, 100)
    box.advance(10)
    with pytest.raises(StoreFull):
        await box.store.requeue(Query(), a_requeue(box.clock))


async def test_one_transaction_copies_so_much_only(
    box: Box, worker: WorkerNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write in between, however large the messages are."""
    old = [await bounced(box, worker) for _ in range(5)]
    monkeypatch.setattr(requeue, "_OCTETS", 2 * len(old[0].content))
    changed, before = [], None
    for _ in range(3):
        done = await box.store.requeue(Query(), a_requeue(box.clock), batch=Batch(before=before))
        changed.append(done.counts.changed)
        before = done.more
    assert (changed, before) == ([2, 2, 1], None)

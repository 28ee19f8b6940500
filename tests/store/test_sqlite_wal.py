"""The WAL of the queue file: synced before anybody is told, and not left to grow."""

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from relayd.errors import CommitUnknown, StoreUnavailable
from relayd.store.sqlite import wal
from relayd.store.sqlite.connection import open_writer, prepare
from relayd.store.sqlite.lock import FileLock
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.wal import CHECKPOINT_PAGES, Wal
from tests.support.builders import a_message
from tests.support.stores import Box, open_sqlite
from tests.support.workers import registered

ALLOWED = 100  # pages of 4 KiB
OVERHEAD = 2  # times that: a turn is committed before its length is known


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The WAL has all of its room, as in a daemon; elsewhere in the tests it has little (`tests/conftest.py`)."""
    monkeypatch.setattr(wal, "FULL_PAGES", CHECKPOINT_PAGES * 9 // 8)


@pytest.fixture
def queue(tmp_path: Path) -> str:
    path = str(tmp_path / "queue.db")
    prepare(path)
    return path


async def fill(box: Box, messages: int) -> None:
    worker = await registered(box.store, "1")
    for _ in range(messages):
        await box.put(a_message(content=b"x" * 8000), worker=worker)


def log_pages(directory: Path) -> int:
    return (directory / "queue.db-wal").stat().st_size // 4096


async def test_the_wal_is_kept_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "CHECKPOINT_PAGES", ALLOWED)
    box = open_sqlite(tmp_path)
    await fill(box, 200)
    assert log_pages(tmp_path) <= ALLOWED * OVERHEAD
    await box.close()


async def test_a_reader_makes_it_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HQ-04: the WAL grows past what somebody reads, and is short again soon after."""
    monkeypatch.setattr(wal, "CHECKPOINT_PAGES", ALLOWED)
    box = open_sqlite(tmp_path)
    await fill(box, 1)
    reader = apsw.Connection(str(tmp_path / "queue.db"), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM message").get == 1
    await fill(box, 100)
    long = log_pages(tmp_path)
    assert long > ALLOWED * OVERHEAD
    reader.close()
    await fill(box, 100)
    assert log_pages(tmp_path) <= long + ALLOWED * OVERHEAD
    await box.close()


async def test_the_last_to_close_leaves_the_file_alone(tmp_path: Path) -> None:
    """Who copies or moves a queue that is not in use may know of nothing but `queue.db`."""
    first, second = open_sqlite(tmp_path), open_sqlite(tmp_path)
    await fill(first, 3)
    await first.close()
    assert (tmp_path / "queue.db-wal").exists()
    await second.close()
    assert not (tmp_path / "queue.db-wal").exists()
    db = apsw.Connection(str(tmp_path / "queue.db"))
    assert db.execute("SELECT count(*) FROM message").get == 3
    db.close()


def test_a_commit_is_synced_once(queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = os.fdatasync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", note)
    db = open_writer(queue)
    log = Wal(db, queue)
    log.sync()
    assert synced == []
    db.execute("INSERT INTO meta VALUES ('a', x'00')")
    log.sync()
    log.sync()
    assert synced == [f"{queue}-wal"]
    log.close()
    db.close()


@pytest.mark.usefixtures("full")
def test_the_wal_has_its_length_from_the_start(queue: str) -> None:
    """What is committed before and behind the zeros is there, also for who finds the WAL after a crash."""
    db = open_writer(queue)
    log, lock = Wal(db, queue), FileLock(f"{queue}.write")
    db.execute("INSERT INTO meta VALUES ('before', x'00')")
    log.preallocate(lock)
    length = Path(f"{queue}-wal").stat().st_size
    assert length > CHECKPOINT_PAGES * 4096
    db.execute("INSERT INTO meta VALUES ('behind', x'00')")
    log.sync()
    log.preallocate(lock)
    assert Path(f"{queue}-wal").stat().st_size == length
    crashed = Path(queue).with_name("crashed.db")
    for end in ("", "-wal"):
        Path(f"{crashed}{end}").write_bytes(Path(f"{queue}{end}").read_bytes())
    found = apsw.Connection(str(crashed))
    assert {"before", "behind"} <= set(found.execute("SELECT key FROM meta").get)
    assert found.execute("PRAGMA integrity_check").get == "ok"
    for each in (found, db):
        each.close()
    log.close()
    lock.close()


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("free", [0, 1])
def test_little_room_is_left_alone(queue: str, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """All zeros or none: nothing is free, or it seems to be and is not."""
    write = os.pwrite
    lengths: list[int] = []

    def fail(descriptor: int, octets: bytes, offset: int) -> int:
        lengths.append(offset)
        if len(lengths) > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, octets, offset)

    monkeypatch.setattr(wal, "_ROOM", 0 if free else 1_000_000)
    db = open_writer(queue)
    log, lock = Wal(db, queue), FileLock(f"{queue}.write")
    db.execute("INSERT INTO meta VALUES ('a', x'00')")
    length = Path(f"{queue}-wal").stat().st_size
    monkeypatch.setattr(os, "pwrite", fail)
    log.preallocate(lock)
    assert Path(f"{queue}-wal").stat().st_size == length
    assert db.getautocommit()
    assert len(lengths) == 2 * free
    db.close()
    log.close()
    lock.close()


@pytest.mark.usefixtures("full")
def test_who_writes_without_a_turn_is_kept_out_meanwhile(
    queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zeros would go over what an operator's shell has just committed."""
    write = os.pwrite
    refused: list[apsw.Error] = []

    def intrude(descriptor: int, octets: bytes, offset: int) -> int:
        with pytest.raises(apsw.BusyError) as error:
            other.execute("INSERT INTO meta VALUES ('other', x'00')")
        refused.append(error.value)
        return write(descriptor, octets, offset)

    db, other = open_writer(queue), open_writer(queue)
    other.set_busy_timeout(0)
    log, lock = Wal(db, queue), FileLock(f"{queue}.write")
    monkeypatch.setattr(os, "pwrite", intrude)
    log.preallocate(lock)
    assert refused
    other.execute("INSERT INTO meta VALUES ('other', x'00')")
    other.execute("BEGIN IMMEDIATE")
    db.set_busy_timeout(0)
    log.preallocate(lock)
    assert not other.getautocommit(), "it waits for nobody for ever"
    for each in (other, db):
        each.close()
    log.close()
    lock.close()


async def test_a_log_that_cannot_be_synced_is_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    prepare(str(tmp_path / "queue.db"))
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(StoreUnavailable, match=r"cannot be synced: .* Input/output error"):
        open_sqlite(tmp_path)


def test_a_sync_that_fails_is_tried_again_by_nobody(
    queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    db = open_writer(queue)
    log = Wal(db, queue)
    db.execute("INSERT INTO meta VALUES ('a', x'00')")
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output"):
        log.sync()
    log.close()
    db.close()


def test_an_unfinished_checkpoint_is_not_tried_again_at_once(queue: str) -> None:
    first = open_writer(queue)
    log, lock = Wal(first, queue), FileLock(f"{queue}.write")
    first.execute("INSERT INTO meta VALUES ('a', x'00')")
    reader = apsw.Connection(queue, flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM meta").fetchall()
    first.execute("INSERT INTO meta VALUES ('b', x'00')")
    log._pages = CHECKPOINT_PAGES
    log.checkpoint(lock)
    assert not log.is_long, "a reader is in the way"
    for db in (reader, first):
        db.close()
    log.close()
    lock.close()


async def test_the_store_says_so_when_a_sync_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither yes nor no (S-55), and nothing more from this process."""
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "1")
    assert isinstance(box.store, SqliteStore)

    def fail() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(box.store._writer._wal, "sync", fail)
    for _ in range(2):
        with pytest.raises(CommitUnknown):
            await box.put(a_message(), worker=worker)
    await asyncio.wait_for(box.close(), 5)

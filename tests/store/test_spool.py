"""Large content on disk: when its file is there, and that nothing stays that belongs to nobody."""

import asyncio
import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relayd.errors import CommitUnknown, ContentLost, StoreError, StoreFull, StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber, format_id
from relayd.store import spool
from relayd.store.spool import FileContent
from relayd.store.sqlite.queue import SqliteStore
from tests.support.builders import a_message, a_recipient, a_settlement
from tests.support.stores import LEASE, Box, open_sqlite
from tests.support.workers import registered


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return open_sqlite(tmp_path)


def files(box: Box) -> set[str]:
    assert isinstance(box.store, SqliteStore)
    return {path.name for path in box.store._files._path.iterdir()}


def a_large_message(box: Box) -> NewMessage:
    place = box.store.spool()
    place.write(b"body\r\n" * 100)
    return replace(a_message(), content=place.finish(b"Subject: x\r\n\r\n"))


async def test_a_file_lives_as_long_as_its_message(box: Box) -> None:
    worker = await registered(box.store, "1")
    message = a_large_message(box)
    [name] = files(box)
    assert name.endswith(".part")
    [work] = await box.put(message, worker=worker, leased=True)
    assert files(box) == {format_id(message.id)}
    await box.store.settle(work.lease, [a_settlement(message.id)])
    assert files(box) == set()
    await box.close()


async def test_a_directory_that_somebody_took_away_is_made_again(box: Box) -> None:
    """It is empty most of the time, and what is empty gets tidied up."""
    worker = await registered(box.store, "1")
    assert isinstance(box.store, SqliteStore)
    box.store._files._path.rmdir()
    message = a_large_message(box)
    await box.put(message, worker=worker)
    assert files(box) == {format_id(message.id)}
    assert stat.S_IMODE(box.store._files._path.stat().st_mode) == 0o750
    await box.close()


async def test_its_owner_and_its_group_may_read_it(box: Box) -> None:
    """A-95."""
    await box.put(a_large_message(box), worker=await registered(box.store, "1"))
    assert isinstance(box.store, SqliteStore)
    directory = box.store._files._path
    [file] = directory.iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    await box.close()


async def test_a_folder_of_an_older_relayd_is_opened_to_its_group(tmp_path: Path) -> None:
    folder = tmp_path / "queue.db.content"
    folder.mkdir(mode=0o700)
    await open_sqlite(tmp_path).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


async def test_the_file_and_its_name_are_durable_before_the_row_is(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HQ-07: file, then directory, then commit."""
    assert isinstance(box.store, SqliteStore)
    order: list[str] = []
    sync, commit = os.fsync, box.store._writer._wal.sync

    def note(descriptor: int) -> None:
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().suffix)
        sync(descriptor)

    def note_commit() -> None:
        order.append("commit")
        commit()

    worker = await registered(box.store, "1")
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(box.store._writer._wal, "sync", note_commit)
    await box.put(a_large_message(box), worker=worker)
    assert order == [".part", ".content", "commit"]
    await box.close()


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, StoreFull), (errno.EIO, StoreUnavailable)],
    ids=["full", "broken"],
)
async def test_a_sync_that_fails_refuses_the_message(
    box: Box, monkeypatch: pytest.MonkeyPatch, number: int, error: type[StoreError]
) -> None:
    """Nobody has promised anything yet: the file goes, the client hears 452 or 451."""

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    worker = await registered(box.store, "1")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        await box.put(a_large_message(box), worker=worker)
    assert (files(box), box.rows()) == (set(), [])
    await box.close()


async def test_a_commit_that_fails_takes_the_file_along(box: Box) -> None:
    worker = await registered(box.store, "1")
    first = a_large_message(box)
    await box.put(first, worker=worker)
    again = replace(a_large_message(box), id=first.id)  # no such id is given twice
    with pytest.raises(StoreUnavailable):
        await box.put(again, worker=WorkerNumber(worker))
    assert not [name for name in files(box) if name.endswith(".part")]
    await box.close()


async def test_it_is_known_before_what_is_committed_behind_it(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that was handed back behind it must not look as if it were still there."""
    assert isinstance(box.store, SqliteStore)
    worker = await registered(box.store, "1")
    submit, order, behind = box.store._writer.submit, list[str](), list[asyncio.Future[None]]()

    def submit_two(*given: Any, is_patient: bool = True) -> "asyncio.Future[Any]":
        first = submit(*given, is_patient=is_patient)
        behind.append(submit(lambda _: None))
        behind[-1].add_done_callback(lambda _: order.append("behind"))
        return first

    monkeypatch.setattr(box.store._writer, "submit", submit_two)
    stored = box.store.enqueue(a_large_message(box), worker=worker, lease_for=LEASE)
    stored.add_done_callback(lambda _: order.append("stored"))
    await stored
    await asyncio.gather(*behind)
    assert order == ["stored", "behind"]
    await box.close()


async def test_a_commit_that_nobody_knows_of_keeps_it(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-55: the message may be there after all, and then it needs its file."""
    assert isinstance(box.store, SqliteStore)
    worker = await registered(box.store, "1")

    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(box.store._writer._wal, "sync", fail)
    message = a_large_message(box)
    with pytest.raises(CommitUnknown):
        await box.put(message, worker=worker)
    assert files(box) == {format_id(message.id)}
    await box.close()


async def test_a_commit_that_fails_removes_no_file(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-12: two outcomes do not fit on the disk together, and of the two only one does."""
    assert isinstance(box.store, SqliteStore)
    writer = box.store._writer
    worker = await registered(box.store, "1")
    message = replace(
        a_large_message(box),
        recipients=(a_recipient("a@x.test"), a_recipient("b@x.test")),
    )
    [work] = await box.put(message, worker=worker, leased=True)
    finish, full = writer._finish, iter((False, True))

    def fail_twice(turn: Sequence[Any]) -> bool:
        if (answer := next(full, None)) is None:
            return finish(turn)
        writer._rollback()
        if answer:
            turn[0].error = StoreFull("no room left for the queue file")
        return answer

    monkeypatch.setattr(writer, "_finish", fail_twice)
    settled = [box.store.settle(work.lease, [a_settlement(message.id, each)]) for each in (0, 1)]
    results = await asyncio.gather(*settled, return_exceptions=True)
    assert isinstance(results[0], StoreFull)
    assert files(box) == {format_id(message.id)}, "the first recipient still waits"
    await box.store.settle(work.lease, [a_settlement(message.id, 0)])
    assert files(box) == set()
    await box.close()


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EROFS, StoreUnavailable)],
    ids=["full", "quota", "read-only"],
)
async def test_a_disk_without_room_is_told_from_a_broken_one(
    box: Box, monkeypatch: pytest.MonkeyPatch, number: int, error: type[StoreError]
) -> None:
    """F-11, F-17."""

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    place = box.store.spool()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(error):
            place.write(b"x")
        patch.setattr(os, "open", fail)
        with pytest.raises(error):
            box.store.spool()
    place.discard()
    place.discard()
    assert files(box) == set()
    await box.close()


async def test_what_is_kept_back_of_the_disk_is_not_for_content(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-10, F-12: messages that began while there was room do not eat up what outcomes need."""
    place = box.store.spool()
    place.write(b"x")
    full = os.statvfs_result((4096, 4096, 10**8, 10, 10, 1000, 500, 500, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    box.advance(2)
    with pytest.raises(StoreFull):
        place.write(b"x")
    place.discard()
    assert files(box) == set()
    await box.close()


async def test_what_a_crash_left_is_swept_up(box: Box) -> None:
    """Files in progress and files without a row, once they are old; never those of a message."""
    assert isinstance(box.store, SqliteStore)
    directory = box.store._files._path
    worker = await registered(box.store, "1")
    kept = a_large_message(box)
    await box.put(kept, worker=worker)
    orphan, young = format_id(a_message().id), format_id(a_message().id)
    for name in ("1-2-3.part", "4-5-6.part", orphan, young):
        (directory / name).write_bytes(b"x")
    for name in ("1-2-3.part", orphan, format_id(kept.id)):
        os.utime(directory / name, times=(0, 0))
    await sweep_twice(box)
    assert files(box) == {"4-5-6.part", young, format_id(kept.id)}
    await box.close()


async def sweep_twice(box: Box) -> None:
    """Have it look, and look again after an hour."""
    for _ in range(2):
        assert await box.store.purge(box.clock.now() - timedelta(days=1)) == 0
        box.advance(3600)


async def test_a_clock_that_is_set_forwards_makes_no_file_old(box: Box) -> None:
    """F-30: the file of a message that is just being stored stays, also where each look finds it written anew."""
    assert isinstance(box.store, SqliteStore)
    worker = await registered(box.store, "1")
    message = a_large_message(box)
    path = box.store._files._path / format_id(message.id)
    path.write_bytes(b"x")
    for written in (0, 1, 2):
        os.utime(path, times=(written, written))
        assert await box.store.purge(box.clock.now() - timedelta(days=1)) == 0
        box.advance(3600)
        assert files(box) >= {path.name}
    await box.put(message, worker=worker)
    await sweep_twice(box)
    assert path.exists()
    await box.close()


async def test_letting_go_of_a_file_never_fails(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-17: on a disk that became read-only the session goes on, and says 451."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    place = box.store.spool()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        place.discard()
    assert len(files(box)) == 1, "for the next sweep"
    await box.close()


async def test_what_is_not_ours_is_left_where_it_is(box: Box) -> None:
    """The directory may be a file system of its own, with a lost+found."""
    assert isinstance(box.store, SqliteStore)
    directory = box.store._files._path
    (directory / "lost+found").mkdir()
    (directory / "readme.txt").write_bytes(b"x")
    orphan = format_id(a_message().id)
    (directory / orphan).write_bytes(b"x")
    for path in directory.iterdir():
        os.utime(path, times=(0, 0))
    await sweep_twice(box)
    assert files(box) == {"lost+found", "readme.txt"}
    await box.close()


async def test_a_file_that_is_missing_is_told_by_name(box: Box) -> None:
    """A queue file that was restored without its directory."""
    worker = await registered(box.store, "1")
    message = a_large_message(box)
    await box.put(message, worker=worker)
    assert isinstance(box.store, SqliteStore)
    box.store._files.remove([message.id])
    with pytest.raises(ContentLost, match=rf"{format_id(message.id)} is missing"):
        await box.store.content(message.id)
    await box.close()


async def test_a_file_that_was_cut_short_is_no_content(box: Box) -> None:
    worker = await registered(box.store, "1")
    message = a_large_message(box)
    await box.put(message, worker=worker)
    assert isinstance(box.store, SqliteStore)
    os.truncate(box.store._files._path / format_id(message.id), 10)
    content = await box.store.content(message.id)
    assert content is not None
    with pytest.raises(ContentLost, match="shorter"):
        content[:]
    box.store._files.remove([message.id])
    gone = FileContent(b"head", box.store._files._path / format_id(message.id), 10)
    with pytest.raises(ContentLost, match=f"{format_id(message.id)} cannot be read: No such file"):
        gone[:]
    await box.close()


async def test_no_new_queue_is_made_beside_the_content_of_an_old_one(tmp_path: Path) -> None:
    """F-18: its first sweep would remove what the old one needs when it is restored."""
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "1")
    message = a_large_message(box)
    await box.put(message, worker=worker)
    await box.close()
    (tmp_path / "backup").mkdir()
    names = [name for name in ("queue.db", "queue.db-wal") if (tmp_path / name).exists()]
    for name in names:
        (tmp_path / name).rename(tmp_path / "backup" / name)
    with pytest.raises(StoreUnavailable, match="content has messages: restore the queue file"):
        open_sqlite(tmp_path)
    for name in names:
        (tmp_path / "backup" / name).rename(tmp_path / name)
    box = open_sqlite(tmp_path)
    assert await box.store.content(message.id) is not None
    await box.close()


def test_the_directory_has_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "queue.db.content").write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        spool.SpoolDirectory(str(tmp_path / "queue.db"))

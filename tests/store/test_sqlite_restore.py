"""A backup takes the place of the queue: with checks, in one step, and nothing of the old queue is lost."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from relayd.errors import BackupFailed, RestoreFailed, StoreError, StoreUnavailable
from relayd.files import sync as files_sync
from relayd.mail.envelope import NewMessage
from relayd.store import back_up, compact, disk, move, open_view, restore
from relayd.store.replaced import Replaced
from relayd.store.sqlite import replacing
from tests.support.builders import CONTENT, a_message, settlements_of
from tests.support.clock import START
from tests.support.other_users import (
    DAEMON,
    a_folder_for_all,
    acting_as,
    needs_open_code,
    needs_root,
)
from tests.support.stores import Box, open_sqlite
from tests.support.workers import registered

REST = b"x" * 998 + b"\r\n"


def url(folder: Path) -> str:
    return f"sqlite:{folder}/queue.db"


def large(box: Box, address: str) -> NewMessage:
    spool = box.store.spool()
    spool.write(REST)
    return replace(a_message(address), content=spool.finish(CONTENT))


async def a_queue(folder: Path, name: str) -> None:
    """One with a small and a large message that wait, and a daemon that has stopped."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 -- nothing else runs
    box = open_sqlite(folder)
    worker = await registered(box.store, "worker")
    await box.put(a_message(f"{name}-small@x.test"), worker=worker)
    await box.put(large(box, f"{name}-large@x.test"), worker=worker)
    await box.close()


async def what_waits(folder: Path) -> set[str]:
    """Serve the queue for a moment; return what waits in it, all of whose content is there."""
    box = open_sqlite(folder)
    worker = await registered(box.store, "worker", boot="later")
    found = set()
    for work in await box.claim(worker):
        content = work.content or await box.store.content(work.message.id)
        [recipient] = work.recipients
        large = recipient.address.startswith(("old-large", "new-large"))
        assert content is not None
        assert content[:] == CONTENT + REST * large
        found.add(recipient.address)
    await box.close()
    return found


OLD = {"old-small@x.test", "old-large@x.test"}
NEW = {"new-small@x.test", "new-large@x.test"}


@pytest.fixture
async def queue(tmp_path: Path) -> Path:
    """The folder of a queue with mail, beside the backup of another."""
    await a_queue(tmp_path / "other", "new")
    back_up(url(tmp_path / "other"), tmp_path / "backup")
    await a_queue(tmp_path / "queue", "old")
    return tmp_path / "queue"


def files(folder: Path) -> dict[str, bytes]:
    """What is there, but for the locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in {".lock", ".write"}
    }


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


async def test_where_there_was_none(tmp_path: Path, queue: Path) -> None:
    for name in entries(queue):
        remove(queue / name)
    done = restore(url(queue), tmp_path / "backup", force=False)
    assert done == Replaced(
        queue=f"{queue}/queue.db",
        copy=f"{tmp_path}/backup/queue.db",
        waiting=2,
        held=0,
        old=None,
    )
    assert entries(queue) == {"queue.db", "queue.db.content"}
    assert await what_waits(queue) == NEW


async def test_mail_that_waits_is_not_replaced_unless_that_is_asked_for(
    tmp_path: Path, queue: Path
) -> None:
    before = files(queue)
    with pytest.raises(RestoreFailed, match=r"mail to 2 recipients waits .* --force"):
        restore(url(queue), tmp_path / "backup", force=False)
    assert files(queue) == before
    done = restore(url(queue), tmp_path / "backup", force=True)
    assert done.old == f"{queue}/queue.db.old-1/queue.db"
    assert await what_waits(queue) == NEW
    assert await what_waits(queue / "queue.db.old-1") == OLD


async def test_a_history_alone_is_moved_aside(tmp_path: Path, queue: Path) -> None:
    box = open_sqlite(queue)
    worker = await registered(box.store, "worker", boot="second")
    for work in await box.claim(worker):
        await box.store.settle(work.lease, settlements_of(work))
    await box.close()
    done = restore(url(queue), tmp_path / "backup", force=False)
    assert done.old is not None
    with closing(open_view(f"sqlite:{done.old}")) as view:
        assert len(view.latest(9)) == 2


async def test_the_next_restore_finishes_one_that_was_killed_late(
    tmp_path: Path, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And judges the queue that this gives: the mail of the first restore waits in it."""
    late = 0
    while "queue.db" in entries(queue) or "queue.db.restored" not in entries(queue):
        with suppress(Killed), killed_at(late, monkeypatch):
            restore(url(queue), tmp_path / "backup", force=True)
        late += 1
    with pytest.raises(StoreUnavailable, match="cut short: start relayd"):
        open_view(url(queue))
    with pytest.raises(RestoreFailed, match="mail to 2 recipients waits"):
        restore(url(queue), tmp_path / "backup", force=False)
    assert await what_waits(queue) == NEW
    assert await what_waits(queue / "queue.db.old-1") == OLD


async def test_a_queue_that_was_kept_is_a_backup(tmp_path: Path, queue: Path) -> None:
    """The way back from a restore is a restore."""
    restore(url(queue), tmp_path / "backup", force=True)
    restore(url(queue), queue / "queue.db.old-1", force=True)
    assert await what_waits(queue) == OLD
    assert await what_waits(queue / "queue.db.old-2") == NEW


async def test_another_restore_keeps_each_old_queue(tmp_path: Path, queue: Path) -> None:
    for number in (1, 2):
        done = restore(url(queue), tmp_path / "backup", force=True)
        assert done.old == f"{queue}/queue.db.old-{number}/queue.db"


async def test_a_queue_that_cannot_be_read_may_have_mail(tmp_path: Path, queue: Path) -> None:
    (queue / "queue.db").write_bytes(b"damaged" * 4096)
    with pytest.raises(RestoreFailed, match=r"may have mail that waits.*is not a relayd queue"):
        restore(url(queue), tmp_path / "backup", force=False)
    restore(url(queue), tmp_path / "backup", force=True)
    assert await what_waits(queue) == NEW
    assert (queue / "queue.db.old-1" / "queue.db").read_bytes() == b"damaged" * 4096


async def test_the_log_of_a_killed_daemon_goes_with_its_queue(tmp_path: Path, queue: Path) -> None:
    """Beside another file it would damage that."""
    box = open_sqlite(queue)
    worker = await registered(box.store, "worker", boot="killed")
    await box.put(a_message("in-the-wal@x.test"), worker=worker)
    killed = tmp_path / "killed"
    shutil.copytree(queue, killed)
    await box.close()
    restore(url(killed), tmp_path / "backup", force=True)
    assert await what_waits(killed) == NEW
    assert await what_waits(killed / "queue.db.old-1") == {*OLD, "in-the-wal@x.test"}


def _damage(copy: Path) -> None:
    octets = bytearray((copy / "queue.db").read_bytes())
    octets[8192:-4096] = b"\xff" * (len(octets) - 12288)
    (copy / "queue.db").write_bytes(octets)


def _newer(copy: Path) -> None:
    with closing(apsw.Connection(str(copy / "queue.db"))) as db:
        db.execute("PRAGMA user_version=9999")


def _without_content(copy: Path) -> None:
    shutil.rmtree(copy / "queue.db.content")


def _short_content(copy: Path) -> None:
    [file] = (copy / "queue.db.content").iterdir()
    file.write_bytes(b"x")


def _empty(copy: Path) -> None:
    (copy / "queue.db").write_bytes(b"")


def _two(copy: Path) -> None:
    (copy / "queue.db").rename(copy / "one.db")
    (copy / "two.db").write_bytes(b"")


UNFIT: dict[str, tuple[Callable[[Path], None], str]] = {
    "damaged": (_damage, "cannot be restored"),
    "newer": (_newer, "schema 9999"),
    "content-missing": (_without_content, "the content of .* is not in"),
    "content-short": (_short_content, "the content of .* is not whole"),
    "empty": (_empty, "is empty"),
    "no-folder": (shutil.rmtree, "is no backup"),
    "nothing": (lambda copy: (copy / "queue.db").unlink(), "no queue file"),
    "two": (_two, "more than one file"),
}


@pytest.mark.parametrize(("spoil", "said"), UNFIT.values(), ids=UNFIT)
async def test_a_backup_that_is_unfit_changes_nothing(
    tmp_path: Path, queue: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(tmp_path / "backup")
    before = files(queue)
    with pytest.raises(RestoreFailed, match=said):
        restore(url(queue), tmp_path / "backup", force=True)
    assert files(queue) == before


async def test_without_room_nothing_changes(
    tmp_path: Path, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "spare", lambda _: 1000)
    before = files(queue)
    with pytest.raises(RestoreFailed, match="has room for"):
        restore(url(queue), tmp_path / "backup", force=True)
    with pytest.raises(BackupFailed, match="has room for"):
        move(url(queue), tmp_path / "moved")
    assert files(queue) == before


async def test_the_queue_is_no_backup_of_itself(queue: Path) -> None:
    with pytest.raises(RestoreFailed, match="is the queue itself"):
        restore(url(queue), queue, force=True)


async def test_a_copy_by_hand_is_as_good(tmp_path: Path, queue: Path) -> None:
    """Of a daemon that was killed, with its log, and under another name."""
    box = open_sqlite(tmp_path / "other")
    worker = await registered(box.store, "worker", boot="second")
    await box.put(a_message("new-third@x.test"), worker=worker)
    by_hand = tmp_path / "by-hand"
    shutil.copytree(tmp_path / "other", by_hand)
    await box.close()
    for path in by_hand.iterdir():
        path.rename(by_hand / path.name.replace("queue.db", "relay.db"))
    restore(url(queue), by_hand, force=True)
    assert await what_waits(queue) == {*NEW, "new-third@x.test"}


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the process in front of step `number` of those that change names or sync."""
    steps = iter(range(number))

    def step(real: Callable[..., None]) -> Callable[..., None]:
        def counted(*arguments: object) -> None:
            if next(steps, None) is None:
                raise Killed
            real(*arguments)

        return counted

    with monkeypatch.context() as patched:
        patched.setattr(replacing, "_rename", step(replacing._rename))
        patched.setattr(replacing, "sync", step(files_sync))
        patched.setattr(replacing, "abandon", lambda _: None)
        yield


@pytest.mark.parametrize("act", ["restore", "move"])
async def test_a_crash_leaves_the_old_or_the_new(
    tmp_path: Path, queue: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """At each step; the next start of the daemon brings it to its end."""
    after = NEW if act == "restore" else set()
    seen = []
    for number in range(100):
        place = tmp_path / f"try{number}"
        shutil.copytree(queue, place)
        try:
            with killed_at(number, monkeypatch):
                if act == "restore":
                    restore(url(place), tmp_path / "backup", force=True)
                else:
                    move(url(place), tmp_path / f"moved{number}")
        except Killed:
            found = await what_waits(place)
            assert found in (OLD, after)
            seen.append(found == after)
            assert "queue.db.restored" not in entries(place)
            if found == after:
                assert await what_waits(place / "queue.db.old-1") == OLD
            if act == "move":
                assert await what_waits(tmp_path / f"moved{number}") == OLD
            shutil.rmtree(place)
        else:
            break
    assert seen == sorted(seen)  # once it is the new one, it stays
    assert {False, True} == set(seen)


async def test_a_crash_while_a_smaller_copy_takes_its_place_loses_nothing(
    tmp_path: Path, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, place = 0, queue
    for number in range(100):
        place = tmp_path / f"try{number}"
        shutil.copytree(queue, place)
        try:
            with killed_at(number, monkeypatch):
                compact(url(place), START, lambda _done, _of: None)
        except Killed:
            seen += 1
            assert await what_waits(place) == OLD
            assert "queue.db.restored" not in entries(place)
            shutil.rmtree(place)
        else:
            break
    assert seen > 5
    assert await what_waits(place) == OLD
    assert "queue.db.old-1" not in entries(place)


async def test_a_restore_that_was_killed_early_is_begun_anew(
    tmp_path: Path, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed), killed_at(0, monkeypatch):
        restore(url(queue), tmp_path / "backup", force=True)
    assert "queue.db.restoring" in entries(queue)
    restore(url(queue), tmp_path / "backup", force=True)
    assert "queue.db.restoring" not in entries(queue)
    assert await what_waits(queue) == NEW


@needs_root
@needs_open_code
async def test_what_root_restores_is_the_daemons() -> None:
    with a_folder_for_all() as above:
        folder = above / "state"
        folder.mkdir(mode=0o750)
        os.chown(folder, DAEMON.uid, DAEMON.groups[0])
        with acting_as(DAEMON):
            await a_queue(folder, "old")
        back_up(url(folder), above / "backup")
        assert (above / "backup" / "queue.db").stat().st_uid == 0
        restore(url(folder), above / "backup", force=True)
        for path in folder.rglob("queue.db*"):
            if path.suffix == ".write":
                continue
            assert path.stat().st_uid == DAEMON.uid, path
            assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path
        with acting_as(DAEMON):
            assert await what_waits(folder) == OLD


async def test_a_queue_that_moved_is_served_once(tmp_path: Path, queue: Path) -> None:
    done = move(url(queue), tmp_path / "moved")
    assert (done.waiting, done.old) == (2, f"{queue}/queue.db.old-1/queue.db")
    assert await what_waits(queue) == set()
    there = tmp_path / "there"
    there.mkdir()
    restore(url(there), tmp_path / "moved", force=False)
    assert await what_waits(there) == OLD


async def test_a_queue_that_cannot_be_copied_does_not_move(tmp_path: Path, queue: Path) -> None:
    [file] = (queue / "queue.db.content").iterdir()
    file.unlink()
    before = files(queue)
    with pytest.raises(StoreError, match="the content of"):
        move(url(queue), tmp_path / "moved")
    assert files(queue) == before

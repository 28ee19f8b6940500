"""Links, modes and races: what somebody else puts in the place of a file or folder of ours is neither followed nor read.

Root makes backups of a queue that belongs to relayd's user, and may put them into a folder that a third one can change. So each of
these is tried as if it had come in between: a link in the spool, in the place of the folder for content, of the copy, and of the folder that
takes the queue's place. That of the status log is `unit/logs/test_writer.py`'s, that of the lock `unit/test_supervisor_lock.py`'s, that of
sockets `unit/test_supervisor_sockets.py`'s, that of secrets `unit/test_secret_files.py`'s.
"""

import asyncio
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from relayd.errors import BackupFailed
from relayd.store import back_up
from relayd.store.sqlite import replacing
from relayd.store.sqlite.backup import copy_into
from tests.support.besieged import Besieged
from tests.support.builders import CONTENT, a_message
from tests.support.daemon import eventually
from tests.support.stores import open_sqlite
from tests.support.workers import registered

SECRET = "root:$6$secret:1:0:99999:7:::\n"


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """A queue with one large message; its content is in a file."""

    async def fill() -> None:
        box = open_sqlite(tmp_path)
        worker = await registered(box.store, "worker")
        spool = box.store.spool()
        spool.write(b"x" * 998 + b"\r\n")
        await box.put(
            replace(a_message("large@x.test"), content=spool.finish(CONTENT)), worker=worker
        )
        await box.close()

    asyncio.run(fill())
    return tmp_path / "queue.db"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder that is none of relayd's, with a secret."""
    folder = tmp_path / "victim"
    folder.mkdir(0o700)
    (folder / "shadow").write_text(SECRET)
    (folder / "shadow").chmod(0o600)
    return folder


@contextmanager
def untouched(victim: Path) -> Iterator[None]:
    before = victim.stat(), (victim / "shadow").stat()
    yield
    assert [path.name for path in victim.iterdir()] == ["shadow"]
    assert (victim / "shadow").read_text() == SECRET
    after = victim.stat(), (victim / "shadow").stat()
    assert [(each.st_mode, each.st_uid) for each in after] == [
        (each.st_mode, each.st_uid) for each in before
    ]


def _copied(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_link_in_the_spool_is_not_copied(queue: Path, victim: Path, tmp_path: Path) -> None:
    """Who has the queue's folder would have root read a file for it; and a restore would give it to the queue's owner."""
    [content] = (queue.parent / "queue.db.content").iterdir()
    content.unlink()
    content.symlink_to(victim / "shadow")
    with untouched(victim), pytest.raises(BackupFailed):
        back_up(f"sqlite:{queue}", tmp_path / "copy")
    assert SECRET.encode() not in _copied(tmp_path / "copy")


def test_a_pipe_in_the_spool_does_not_stall_a_backup(queue: Path, tmp_path: Path) -> None:
    [content] = (queue.parent / "queue.db.content").iterdir()
    content.unlink()
    os.mkfifo(content)
    with pytest.raises(BackupFailed):
        back_up(f"sqlite:{queue}", tmp_path / "copy")


def test_a_link_in_the_place_of_the_copy_s_content_is_not_followed(
    queue: Path, victim: Path, tmp_path: Path
) -> None:
    """It came after the folder was looked at: mail would be written there, and all else deleted."""
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "queue.db.content").symlink_to(victim)
    with untouched(victim), pytest.raises((BackupFailed, OSError)):
        copy_into(str(queue), folder / "queue.db")


def test_a_link_in_the_place_of_a_copied_file_is_not_followed(
    queue: Path, victim: Path, tmp_path: Path
) -> None:
    [content] = (queue.parent / "queue.db.content").iterdir()
    folder = tmp_path / "copy"
    (folder / "queue.db.content").mkdir(0o700, parents=True)
    (folder / "queue.db.content" / content.name).symlink_to(victim / "shadow")
    with untouched(victim), pytest.raises((BackupFailed, OSError)):
        copy_into(str(queue), folder / "queue.db")


def test_a_link_in_the_place_of_the_copy_is_not_followed(
    queue: Path, victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and its filling: SQLite would follow it."""
    folder = tmp_path / "copy"
    folder.mkdir()
    made = os.close

    def swap(descriptor: int) -> None:
        made(descriptor)
        part = folder / "queue.db.part"
        if part.exists() and not part.is_symlink():
            part.unlink()
            part.symlink_to(victim / "new")

    monkeypatch.setattr(os, "close", swap)
    with untouched(victim), pytest.raises(apsw.Error):
        copy_into(str(queue), folder / "queue.db")


def test_a_folder_that_was_exchanged_gets_no_other_owner_or_mode(queue: Path, victim: Path) -> None:
    """A restore gives what it built to the queue's owner: not what stands in its place by then."""
    building = replacing.begin(str(queue), keeps_old=True)
    building.rename(building.with_name("aside"))
    building.symlink_to(victim)
    owner = replacing.Owner(64101, 64201)
    with untouched(victim), pytest.raises(OSError):  # noqa: PT011
        replacing.put(str(queue), owner=owner)
    assert queue.exists()


def test_a_link_in_what_was_built_is_not_followed(queue: Path, victim: Path) -> None:
    building = replacing.begin(str(queue), keeps_old=True)
    (building / "queue.db").write_bytes(queue.read_bytes())
    (building / "more").symlink_to(victim)
    (building / "shadow").symlink_to(victim / "shadow")
    owner = replacing.Owner(64101, 64201)
    with untouched(victim), pytest.raises(OSError):  # noqa: PT011
        replacing.put(str(queue), owner=owner)


def test_what_a_running_relay_makes_is_for_nobody_else(besieged: Besieged) -> None:
    """Nothing in its folder is written by others, and nothing but sockets and what a test put there is read by them."""
    folder = besieged.daemon.folder
    besieged.daemon.send("mode@kept.test", content=b"Subject: x\r\n\r\n" + b"y" * 300_000)
    eventually((folder / "queue.db.content").is_dir, "large content")
    ours = {"relayd.toml", "daemon.log"}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISSOCK(mode) or path.name in ours:
            continue
        assert not stat.S_ISLNK(mode), path
        assert not mode & 0o027, (path, oct(mode))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks into processes that forbid it")
def test_nothing_is_left_in_the_folder_for_all(besieged: Besieged) -> None:
    """No name of a temporary file can be foreseen: a running relay has none outside its folder."""
    found = set()
    for descriptor in Path(f"/proc/{besieged.worker}/fd").iterdir():
        try:
            target = descriptor.readlink()
        except OSError:
            continue
        if target.is_absolute() and not str(target).startswith(("/dev", "/proc", "/memfd:")):
            found.add(target)
    folder = besieged.daemon.folder
    outside = {path for path in found if not path.is_relative_to(folder)}
    assert not [path for path in outside if str(path).startswith(("/tmp", "/var/tmp"))], outside

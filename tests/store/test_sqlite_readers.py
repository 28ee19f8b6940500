"""Who reads a queue leaves nothing beside it, and is told what is wrong with what is none."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from relayd.errors import StoreUnavailable
from relayd.ports.view import Query
from relayd.store import back_up, examine, open_store, open_view
from tests.support.builders import a_message
from tests.support.cli_world import enqueue
from tests.support.clock import FakeClock
from tests.support.other_users import needs_root
from tests.support.stores import open_sqlite

STRANGER = 12345


def url(folder: Path) -> str:
    return f"sqlite:{folder}/queue.db"


def ask(folder: Path) -> None:
    with closing(open_view(url(folder))) as view:
        assert [row.address for row in view.find(Query(), limit=9)] == ["a@x.test"]
        assert view.counts().by_status
        assert view.latest(9) == []
        assert view.addresses(Query(), limit=9)


def look(folder: Path) -> None:
    store, queue = examine(url(folder))
    assert store.problem == ""
    assert queue is not None


def copy(folder: Path) -> None:
    back_up(url(folder), folder.parent / "another-copy")


def serve(folder: Path) -> None:
    open_store(url(folder), clock=FakeClock(), slots={})


READERS: dict[str, Callable[[Path], None]] = {"questions": ask, "doctor": look, "backup": copy}


async def a_queue_at_rest(folder: Path) -> None:
    folder.mkdir()  # noqa: ASYNC240 -- nothing else runs
    store = open_store(url(folder), clock=FakeClock(), slots={})
    await enqueue(store, a_message("a@x.test"))
    await store.close()


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("is_copy", [False, True], ids=["at-rest", "copy"])
async def test_a_reader_leaves_no_file(
    tmp_path: Path, read: Callable[[Path], None], *, is_copy: bool
) -> None:
    folder = tmp_path / "queue"
    await a_queue_at_rest(folder)
    if is_copy:
        back_up(url(folder), tmp_path / "copy")
        folder = tmp_path / "copy"
    before = entries(folder)
    read(folder)
    assert entries(folder) == before


async def test_sqlite_alone_would_leave_files(tmp_path: Path) -> None:
    """The control: a queue at rest, opened read-only and no more than that."""
    await a_queue_at_rest(tmp_path / "queue")
    name = str(tmp_path / "queue" / "queue.db")
    with closing(apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.execute("SELECT count(*) FROM recipient").fetchall()
    assert {"queue.db-wal", "queue.db-shm"} <= entries(tmp_path / "queue")


async def test_not_even_sqlite_leaves_a_file_beside_a_copy(tmp_path: Path) -> None:
    await a_queue_at_rest(tmp_path / "queue")
    found = back_up(url(tmp_path / "queue"), tmp_path / "copy")
    with closing(apsw.Connection(str(found), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.execute("SELECT count(*) FROM recipient").fetchall()
    assert entries(tmp_path / "copy") == {"queue.db", "queue.db.content"}


@needs_root
async def test_what_root_has_to_make_is_the_owners(tmp_path: Path) -> None:
    """The index of a WAL that a killed relayd left."""
    folder = tmp_path / "queue"
    folder.mkdir()
    box = open_sqlite(folder)
    await enqueue(box.store, a_message("a@x.test"))
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("queue.db", "queue.db-wal"):
        (killed / name).write_bytes((folder / name).read_bytes())
        os.chown(killed / name, STRANGER, STRANGER)
    await box.close()
    ask(killed)
    owners = {path.name: path.stat().st_uid for path in killed.iterdir()}
    assert owners == dict.fromkeys(("queue.db", "queue.db-wal", "queue.db-shm"), STRANGER)


async def test_nobody_else_makes_files_for_the_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_queue_at_rest(tmp_path / "queue")
    (tmp_path / "queue" / "queue.db-wal").write_bytes(b"not empty")
    before = entries(tmp_path / "queue")
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    for read in (ask, copy):
        with pytest.raises(StoreUnavailable, match="was not closed"):
            read(tmp_path / "queue")
    assert "was not closed" in examine(url(tmp_path / "queue"))[0].problem
    assert entries(tmp_path / "queue") == before


def _another_program(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE other (x)")


NO_QUEUES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "no queue yet at"),
    "empty": (Path.touch, "is empty"),
    "folder": (Path.mkdir, "is a folder"),
    "pipe": (os.mkfifo, "is no file"),
    "text": (lambda path: path.write_text("x" * 4096), "is not a relayd queue"),
    "short": (lambda path: path.write_text("SQLite"), "is not a relayd queue"),
    "other": (_another_program, "is not a relayd queue"),
}


@pytest.mark.parametrize(("make", "said"), NO_QUEUES.values(), ids=NO_QUEUES)
def test_what_is_no_queue(tmp_path: Path, make: Callable[[Path], object], said: str) -> None:
    folder = tmp_path / "queue"
    folder.mkdir()
    make(folder / "queue.db")
    for read in (ask, copy, serve):
        if read is serve and said == "no queue yet at":
            continue  # it makes one
        with pytest.raises(StoreUnavailable, match=said) as raised:
            read(folder)
        assert str(folder / "queue.db") in str(raised.value)
    assert not (tmp_path / "another-copy").exists()
    store, _ = examine(url(folder))
    assert said == "no queue yet at" or said in store.problem


async def test_a_file_beside_the_queue_that_relayd_may_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the restore of an older how-to left them: the daemon's log says which file, and what to do."""
    await a_queue_at_rest(tmp_path / "queue")
    log = tmp_path / "queue" / "queue.db-wal"
    log.touch()
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode, **how: path != str(log) and may(path, mode, **how)
    )
    with pytest.raises(StoreUnavailable, match=rf"{log} belongs to .* chown"):
        serve(tmp_path / "queue")

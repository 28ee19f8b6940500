"""A queue file as `relayd doctor` sees it."""

import os
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from relayd.store import examine, open_store
from relayd.store.sqlite import checkup
from relayd.store.sqlite.condition import APPLICATION_ID
from relayd.store.sqlite.connection import newest_schema
from tests.support.builders import a_message
from tests.support.cli_world import enqueue
from tests.support.clock import START, FakeClock


async def a_queue(path: Path) -> None:
    """Two recipients that wait, of which one is held, the older message first."""
    store = open_store(f"sqlite:{path}", clock=FakeClock(), slots={})
    older = a_message("a@x.test", at=START - timedelta(hours=2))
    await enqueue(store, a_message("b@x.test"), older, a_message("c@x.test"))
    await store.close()
    db = apsw.Connection(str(path))
    db.execute("UPDATE recipient SET state = 'held' WHERE address = 'c@x.test'")
    db.close()


async def test_a_sound_queue(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    await a_queue(path)
    store, queue = examine(f"sqlite:{path}")
    assert (store.exists, store.problem, store.complaints, store.checked) == (True, "", (), True)
    assert store.schema == store.newest_schema == newest_schema()
    assert store.octets == path.stat().st_size
    assert queue is not None
    assert (queue.waiting, queue.held) == (2, 1)
    assert queue.oldest_at == START - timedelta(hours=2)


async def test_a_large_queue_is_not_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "_CHECKED_UP_TO", 1000)
    await a_queue(tmp_path / "queue.db")
    store, queue = examine(f"sqlite:{tmp_path}/queue.db")
    assert not store.checked
    assert queue is not None


def test_no_queue_yet(tmp_path: Path) -> None:
    store, queue = examine(f"sqlite:{tmp_path}/queue.db")
    assert (store.exists, queue) == (False, None)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 -- nothing was made


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store, _ = examine(f"sqlite:{tmp_path}/file/queue.db")
    assert store.problem == "cannot be read: Not a directory"


async def test_a_queue_whose_tables_are_missing(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "queue.db"))
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute("CREATE TABLE other (x)")
    db.close()
    store, queue = examine(f"sqlite:{tmp_path}/queue.db")
    assert "no such table" in store.problem
    assert queue is None


async def test_a_queue_that_others_must_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user without rights sees it; root sees everything."""
    path = tmp_path / "queue.db"
    await a_queue(path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    store, queue = examine(f"sqlite:{path}")
    assert (store.denied, queue) == (True, None)


def test_a_directory_that_others_must_not_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", forbidden)
    store, queue = examine(f"sqlite:{tmp_path}/queue.db")
    assert (store.denied, queue) == (True, None)

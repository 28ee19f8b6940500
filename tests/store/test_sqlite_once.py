"""Messages that are to be taken once, of two processes on one file."""

import os
from pathlib import Path

import pytest

from relayd.mail.once import AlreadyTaken
from tests.store.test_contract_once import a_message_once
from tests.support.stores import open_sqlite
from tests.support.workers import registered


async def test_what_another_process_has_taken_is_durable_when_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one may have committed it, and not synced it yet; so the sync is ours."""
    one, other = open_sqlite(tmp_path), open_sqlite(tmp_path)
    first = a_message_once(one)
    await one.put(first, worker=await registered(one.store, "1"))
    worker = await registered(other.store, "2")
    synced = []
    sync = os.fdatasync

    def note(fd: int) -> None:
        synced.append(fd)
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", note)
    with pytest.raises(AlreadyTaken) as taken:
        await other.put(a_message_once(other), worker=worker)
    assert taken.value.first.id == first.id
    assert synced, "the answer came before a sync"
    await one.close()
    await other.close()

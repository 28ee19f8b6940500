"""The events of one transaction have numbers of their own, and what has more is refused in words."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.ids import WorkerNumber
from relayd.store.postgres import events
from tests.support import postgres
from tests.support.builders import a_message
from tests.support.stores import LEASE, Box, open_postgres
from tests.support.workers import registered

pytestmark = postgres.needs_postgres


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    opened = open_postgres(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def worker(box: Box) -> WorkerNumber:
    return await registered(box.store, "worker")


@pytest.mark.parametrize("leased", [True, False])
async def test_more_recipients_than_numbers_are_refused(
    box: Box,
    worker: WorkerNumber,
    monkeypatch: pytest.MonkeyPatch,
    leased: bool,  # noqa: FBT001 -- which statement writes it
) -> None:
    """Messages that come together do not pay for it, even where only all of them are too many."""
    monkeypatch.setattr(events, "IN_A_TRANSACTION", 4)
    lease_for = LEASE if leased else None
    many = a_message("a@x.test", "b@x.test", "c@x.test", "d@x.test")
    few = [a_message("a@x.test", "b@x.test") for _ in range(3)]
    done = [box.store.enqueue(each, worker=worker, lease_for=lease_for) for each in (many, *few)]
    with pytest.raises(StoreUnavailable, match="may have 3 events, and this has 4: give it fewer"):
        await done[0]
    for each in done[1:]:
        await each
    assert {row.message_id for row in box.rows()} == {message.id for message in few}

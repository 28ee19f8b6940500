"""One box per implementation of the store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayd.mail.ids import WorkerNumber
from tests.support.stores import OPENERS, Box
from tests.support.workers import registered


@pytest.fixture(params=OPENERS)
async def box(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Box]:
    opened = OPENERS[request.param](tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def worker(box: Box) -> WorkerNumber:
    return await registered(box.store, "worker")


@pytest.fixture
async def other(box: Box) -> WorkerNumber:
    return await registered(box.store, "other")


@pytest.fixture
async def third(box: Box) -> WorkerNumber:
    return await registered(box.store, "third")

"""One box per implementation of the store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayd.mail.ids import WorkerNumber
from tests.support.stores import NOT_YET, OPENERS, Box
from tests.support.workers import registered


@pytest.fixture(params=OPENERS)
async def box(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Box]:
    if request.param == "postgresql":
        module = request.module.__name__.rpartition(".")[2]
        for name in (module, f"{module}.{request.node.originalname}"):
            if name in NOT_YET:
                pytest.skip(f"the store on PostgreSQL is not ready for it: {NOT_YET[name]}")
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

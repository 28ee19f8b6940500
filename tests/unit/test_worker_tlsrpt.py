"""What a worker does for TLS reports."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from relayd.deliverer.tally import TlsTally
from relayd.store.memory.queue import MemoryStore
from relayd.worker import tlsrpt
from relayd.worker.parts import Parts
from tests.support.clock import FakeClock
from tests.support.post import eventually
from tests.support.tls_counts import a_tls_session


async def test_what_is_counted_gets_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tlsrpt, "_ADDED", 0)
    store = MemoryStore(FakeClock())
    tally = TlsTally(store.trust)
    session = a_tls_session()
    async with asyncio.TaskGroup() as tasks:
        parts = cast(Parts, SimpleNamespace(worker=0))
        counting = tasks.create_task(tlsrpt.keep_counting(tally, parts))
        for times in (1, 2):
            tally.note(session)
            await eventually(lambda: store.view.trust.tls_counts() == {session: times})  # noqa: B023
        counting.cancel()

"""Requeueing in PostgreSQL: each recipient once, on however many machines somebody asks for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayd.mail.ids import WorkerNumber
from relayd.ports.view import Query, Status
from relayd.store.postgres.queue import PostgresStore
from tests.support import postgres
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.postgres import needs_postgres
from tests.support.requeueing import a_requeue
from tests.support.stores import Box, open_postgres
from tests.support.workers import registered

pytestmark = needs_postgres


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    opened = open_postgres(tmp_path, keeps_bounced=True)
    yield opened
    await opened.close()


@pytest.fixture
async def worker(box: Box) -> WorkerNumber:
    return await registered(box.store, "worker")


async def test_who_asks_at_once_on_many_machines_sends_once(box: Box, worker: WorkerNumber) -> None:
    for number in range(40):
        await box.put(a_message("a@x.test", "b@x.test", count=number), worker=worker)
    for work in await box.claim(worker):
        await box.store.settle(work.lease, settlements_of(work, a_bounce()))
    others = [PostgresStore.open(postgres.database(), clock=box.clock, slots={}) for _ in range(4)]
    how = a_requeue(box.clock)
    done = await asyncio.gather(*(each.requeue(Query(), how) for each in others))
    for each in others:
        await each.close()
    assert [one.counts.matched for one in done] == [80] * 4
    assert sum(one.counts.changed for one in done) == 80
    assert sum(one.counts.already for one in done) == 3 * 80
    assert len(box.rows(Query(status=(Status.QUEUED,)))) == 80


async def test_content_in_parts_is_sent_again_to_the_octet(box: Box, worker: WorkerNumber) -> None:
    content = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 40_000
    message = a_message("a@x.test", content=content)
    await box.put(message, worker=worker)
    for work in await box.claim(worker):
        await box.store.settle(work.lease, settlements_of(work, a_bounce()))
    done = await box.store.requeue(Query(), a_requeue(box.clock))
    found = await box.store.content(done.messages[0].id)
    assert found is not None
    assert bytes(found[:]) == content

"""Weeks of the history in PostgreSQL: made ahead of time, and dropped when they are over."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.store.postgres import partitions
from relayd.store.postgres.line import WRITES, Line, Session, ask_once
from relayd.store.postgres.queue import PostgresStore
from relayd.store.values import to_ms
from tests.support import postgres
from tests.support.builders import a_message, settlements_of
from tests.support.postgres import needs_postgres
from tests.support.stores import Box, open_postgres
from tests.support.workers import registered

pytestmark = needs_postgres
WEEK, HISTORY = timedelta(weeks=1), timedelta(weeks=3)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    opened = open_postgres(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def worker(box: Box) -> WorkerNumber:
    return await registered(box.store, "worker")


async def _weeks() -> list[int]:
    sql = (
        "SELECT replace(relname, 'message_w', '')::int FROM pg_class"
        " WHERE relname LIKE 'message_w%' AND relkind = 'r' ORDER BY 1"
    )
    rows = await ask_once(postgres.database(), lambda db: db.fetch(sql))
    return [week for (week,) in rows]


async def _finished(box: Box, worker: WorkerNumber) -> NewMessage:
    message = a_message("a@x.test", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work))
    return message


async def _purge(box: Box) -> list[int]:
    """Purge all that is too old; return how many went each time."""
    purged = []
    while some := await box.store.purge(box.clock.now() - HISTORY):
        purged.append(some)
    return purged


def _week(box: Box) -> int:
    return partitions.week_of(to_ms(box.clock.now()))


async def test_there_is_a_week_for_new_mail_however_long_it_runs(
    box: Box, worker: WorkerNumber
) -> None:
    for _ in range(20):
        box.advance(WEEK.total_seconds())
        await _purge(box)
        await _finished(box, worker)
        weeks = await _weeks()
        assert weeks[-1] >= _week(box) + 8
        behind = [week for week in weeks if week < _week(box)]  # other tests made some ahead
        assert len(behind) <= 1 + 5, "weeks that are over go"
    assert len(box.rows()) == 4


async def test_mail_without_a_week_would_be_noticed(box: Box, worker: WorkerNumber) -> None:
    """The negative control of the test before: weeks are made ahead by who purges."""
    box.advance(WEEK.total_seconds() * 30)
    with pytest.raises(StoreUnavailable):
        await _finished(box, worker)


async def test_a_week_goes_as_a_whole_when_nothing_of_it_is_needed(
    box: Box, worker: WorkerNumber
) -> None:
    first = _week(box)
    message = await _finished(box, worker)
    for _ in range(2):
        await _finished(box, worker)
    beside = f"INSERT INTO came_back VALUES ({message.id}, 0, 1); INSERT INTO kept VALUES ({message.id}, 1)"
    await ask_once(postgres.database(), lambda db: db.script(beside))
    box.advance(WEEK.total_seconds())
    waiting = a_message("b@x.test", at=box.clock.now())
    await box.put(waiting, worker=worker)
    await _finished(box, worker)
    box.advance(WEEK.total_seconds() * 4)
    assert await _purge(box) == [3, 1]
    weeks = await _weeks()
    assert first not in weeks
    assert first + 1 in weeks, "something of it waits"
    left = "SELECT (SELECT count(*) FROM came_back), (SELECT count(*) FROM kept)"
    assert await ask_once(postgres.database(), lambda db: db.fetch(left)) == [(0, 0)]
    assert [row.message_id for row in box.rows()] == [waiting.id]
    assert await box.store.content(waiting.id) == waiting.content


async def test_a_week_stays_in_which_something_happened_of_late(
    box: Box, worker: WorkerNumber
) -> None:
    first = _week(box)
    old = a_message("b@x.test", at=box.clock.now())
    await box.put(old, worker=worker)
    await _finished(box, worker)
    box.advance(WEEK.total_seconds() * 4)
    [work] = await box.claim(worker)
    await box.store.settle(work.lease, settlements_of(work))
    box.advance(WEEK.total_seconds())
    assert await _purge(box) == [1]
    assert first in await _weeks()
    assert [row.message_id for row in box.rows()] == [old.id]
    box.advance(HISTORY.total_seconds())
    assert await _purge(box) == [1]
    assert first not in await _weeks()


async def test_a_week_that_is_in_use_is_deleted_by_rows(box: Box, worker: WorkerNumber) -> None:
    """Mail does not wait for it; the empty week goes the next time."""
    first = _week(box)
    await _finished(box, worker)
    box.advance(WEEK.total_seconds() * 40)  # further than any other test: there are no weeks
    looking, done = asyncio.Event(), asyncio.Event()

    async def look(db: Session) -> None:
        await db.fetch("SELECT 1 FROM message LIMIT 1")
        looking.set()
        await done.wait()

    line = Line(postgres.database(), "another", WRITES)
    looks = line.submit(look)
    await looking.wait()
    try:
        assert await box.store.purge(box.clock.now() - HISTORY) == 1
        assert box.rows() == []
        assert first in await _weeks()
        assert (await _weeks())[-1] >= _week(box) + 8, "new ones are made all the same"
    finally:
        done.set()
        await looks
        await line.close()
    assert await box.store.purge(box.clock.now() - HISTORY) == 0
    assert first not in await _weeks()


async def test_a_week_is_not_dropped_when_something_happened_of_late_or_meanwhile(
    box: Box, worker: WorkerNumber
) -> None:
    """Nor while an event of it is not counted."""
    first = _week(box)
    await _finished(box, worker)

    async def judge(db: Session) -> list[bool]:
        last = await partitions.last_event(db, first)
        assert last is not None
        number, at = last
        seen = [(at + 1, number), (at, number), (at + 1, number - 1)]
        return [
            await partitions.is_finished(db, first, before, counted=counted)
            for before, counted in seen
        ]

    assert await ask_once(postgres.database(), judge) == [True, False, False]

    async def drop(db: Session) -> tuple[bool, bool]:
        last = await partitions.last_event(db, first)
        return await partitions.drop(db, first, last=None), await partitions.drop(
            db, first, last=last
        )

    assert await ask_once(postgres.database(), drop) == (False, True)


async def test_a_large_week_waits_until_it_is_over(box: Box, worker: WorkerNumber) -> None:
    """Small ones go by rows, in time."""
    week = _week(box)
    know = f"UPDATE pg_class SET reltuples = {{}} WHERE relname = 'message_w{week}'"
    await _finished(box, worker)
    box.advance(60)
    before = box.clock.now()
    assert partitions.week_of(to_ms(before)) == week
    await ask_once(postgres.database(), lambda db: db.script(know.format(1_000_000)))
    try:
        assert await box.store.purge(before) == 0
        await ask_once(postgres.database(), lambda db: db.script(know.format(999_999)))
        assert await box.store.purge(before) == 1
    finally:
        await ask_once(postgres.database(), lambda db: db.script(know.format(-1)))


async def test_machines_that_purge_at_once_do_it_once(box: Box, worker: WorkerNumber) -> None:
    for _ in range(3):
        for _ in range(3):
            await _finished(box, worker)
        box.advance(WEEK.total_seconds())
    box.advance(HISTORY.total_seconds())
    others = [PostgresStore.open(postgres.database(), clock=box.clock, slots={}) for _ in range(4)]
    purged = 0
    while some := sum(
        await asyncio.gather(*(one.purge(box.clock.now() - HISTORY) for one in others))
    ):
        purged += some
    for each in others:
        await each.close()
    assert purged == 9
    assert box.rows() == []


async def test_a_week_with_very_many_messages_is_counted_about(
    box: Box, worker: WorkerNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To count them takes longer than a statement may."""
    message = await _finished(box, worker)
    await _finished(box, worker)
    week = partitions.week_of(to_ms(message.received_at))
    for most, size in ((3, 2), (2, 2), (1, 1)):
        monkeypatch.setattr(partitions, "_COUNTED", most)
        found = await ask_once(postgres.database(), lambda db: partitions.size(db, week))
        assert found == size, most

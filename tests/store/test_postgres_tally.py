"""The tally in PostgreSQL: counted once by however many workers, and kept small."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relayd.mail.tally import DAY, HOUR, MOST_VALUES, Dimension
from relayd.ports.tally import TallyQuery
from relayd.store.postgres import meta, tallying
from relayd.store.postgres.line import Row, Session, ask_once
from relayd.store.postgres.queue import PostgresStore
from tests.support import postgres
from tests.support.histories import fill
from tests.support.postgres import needs_postgres
from tests.support.stores import Box, open_postgres
from tests.support.tallies import recounted, told

pytestmark = needs_postgres


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    opened = open_postgres(tmp_path)
    await fill(opened, messages=60)
    yield opened
    await opened.close()


async def _count(box: Box, at_once: int) -> None:
    while await box.store.tally_up(at_once):
        pass


def _is_right(box: Box) -> bool:
    return all(
        told(box.view.tally(TallyQuery(by=by))) == recounted(box.view, by) for by in Dimension
    )


async def _rows(sql: str, *args: Any) -> list[Row]:
    return await ask_once(postgres.database(), lambda db: db.fetch(sql, *args))


async def test_events_count_once_however_many_workers_count(box: Box) -> None:
    others = [PostgresStore.open(postgres.database(), clock=box.clock, slots={}) for _ in range(3)]
    for _ in range(10):
        await asyncio.gather(*(each.tally_up(11) for each in others))
    for each in others:
        await each.close()
    assert await _rows("SELECT 1 FROM tally LIMIT 1")
    assert _is_right(box)


async def test_events_that_count_twice_would_be_noticed(box: Box) -> None:
    """The negative control of the test before."""
    await _count(box, 11)

    async def again(db: Session) -> None:
        await meta.write_number(db, tallying.TALLIED, 0)
        await tallying.count(db, least=1, most=11, now=0)

    await ask_once(postgres.database(), again)
    assert not _is_right(box)


async def test_fine_steps_go_and_the_sums_stay(box: Box) -> None:
    """A time long ago is told by the hour, and then by the day."""
    await _count(box, 20)
    since = box.clock.now() - timedelta(minutes=25)
    for days, unit in ((0, 600), (3, 3600), (20, 86400)):
        box.advance(days * 86400)
        await _count(box, 20)
        answer = box.view.tally(TallyQuery(by=Dimension.SENDER, since=since))
        assert answer.since is not None
        assert answer.begins is not None
        low = since.timestamp() // unit * unit
        assert answer.since.timestamp() == max(low, answer.begins.timestamp())
        assert told(answer) == recounted(box.view, Dimension.SENDER, answer.since)
    for table in ("tally", "tally_delay"):
        assert await _rows(f"SELECT DISTINCT span FROM {table}") == [(DAY,)]


async def test_rare_values_of_a_step_that_is_over_are_counted_together(box: Box) -> None:
    """What bounces stays by itself, rare as it is; nothing is lost in the sum."""
    await _count(box, 20)
    [(step,)] = await _rows("SELECT max(at) FROM tally WHERE span = $1 AND dimension = 0", HOUR)

    async def add(db: Session) -> None:
        await db.execute(
            "INSERT INTO tally SELECT $1, 4, $2, 'D' || n || '.test', 1, 0, 1, 0, (n = 7)::int, 0, 0, 0, 0, 0"
            " FROM generate_series(0, 2499) n",
            HOUR,
            step,
        )
        await db.execute(
            "INSERT INTO tally_delay SELECT $1, 4, 'd' || n || '.test', $2, 20, 1"
            " FROM generate_series(0, 2499) n",
            HOUR,
            step,
        )

    await ask_once(postgres.database(), add)
    sums = (
        "SELECT sum(received), sum(hard), count(*) <= 520, bool_or(value = 'D7.test') FROM tally"
        " WHERE span = $1 AND dimension = 4 AND at = $2"
    )
    sent = "SELECT sum(recipients), count(*) <= 520 FROM tally_delay WHERE span = $1 AND dimension = 4 AND at = $2"
    assert MOST_VALUES == 500
    [(received, hard, _, _)] = await _rows(sums, HOUR, step)
    [(accepted, _)] = await _rows(sent, HOUR, step)
    box.advance(2 * 3600)
    await _count(box, 20)
    assert await _rows(sums, HOUR, step) == [(received, hard, True, True)]
    assert await _rows(sent, HOUR, step) == [(accepted, True)]
    box.advance(3 * 86400)  # ten minutes are not told any more
    await _count(box, 20)
    at = datetime.fromtimestamp(step / 1000, UTC)
    answer = box.view.tally(
        TallyQuery(by=Dimension.DOMAIN, since=at, until=at + timedelta(minutes=30))
    )
    [rest] = [row for row in answer.rows if row.is_rest]
    assert rest.value == ""
    assert rest.counts["received"] > 1400
    assert sum(rest.delays.values()) == rest.counts["relayed"]

"""Statements on PostgreSQL whose time must not grow with the history: what the planner makes of them without statistics.

That is how the first ones of a new week are planned, and a plan is kept for as long as its connection.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from relayd.mail.ids import WorkerIdentity
from relayd.mail.outcome import RecipientState
from relayd.ports.view import Query
from relayd.ports.waiting import By
from relayd.store.postgres import (
    addresses,
    destinations,
    outcomes,
    settling,
    tallying,
    view,
    waiting,
)
from relayd.store.postgres.guard import may_become
from relayd.store.postgres.line import WRITES, Line, Session, ask_once
from relayd.store.postgres.queue import PostgresStore
from relayd.worker.parts import IdSource
from tests.support import postgres
from tests.support.builders import a_message, settlements_of
from tests.support.clock import FakeClock
from tests.support.postgres import needs_postgres

pytestmark = needs_postgres
STATEMENTS = {
    "the events that are counted next": (tallying._FACTS, 3),
    "when the first destination is due": ("SELECT min(due_at) FROM destination", 0),
    "when a destination is due": (destinations._REFRESH, 2),
    "which destinations are due": (destinations.PLACES, 7),
    "which backlogs are of later than now": (destinations.BRING_BACK, 2),
    "recipients of events": (
        (
            "SELECT r.destination FROM (SELECT * FROM event WHERE number > $1 ORDER BY number LIMIT $2) e"
            " JOIN every_recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
        ),
        2,
    ),
    "the newest of all recipients": (
        "SELECT message_id FROM every_recipient ORDER BY message_id DESC LIMIT $1",
        1,
    ),
}


async def _plan(sql: str, parameters: int) -> str:
    """Return the plan that holds for whatever parameters."""

    async def explain(db: Session) -> list[tuple[str]]:
        await db.script(f"PREPARE asked AS {sql}")
        nulls = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
        return [(line,) for (line,) in await db.fetch(f"EXPLAIN EXECUTE asked{nulls}")]

    with postgres.a_database() as url:  # what other tests wrote has statistics before long
        line = Line(url, "relayd/plans", WRITES)
        try:
            return "\n".join(row for (row,) in await line.submit(explain))
        finally:
            await line.close()


def _reads_all(plan: str) -> bool:
    return any(
        each in plan for each in ("Seq Scan", "Join Filter", "Materialize", "Sort  (", "Aggregate")
    )


@pytest.mark.parametrize("what", STATEMENTS)
async def test_a_statement_reads_what_it_needs_by_an_index(what: str) -> None:
    """Neither a table as a whole, nor all pairs of rows."""
    plan = await _plan(*STATEMENTS[what])
    assert not _reads_all(plan), plan


RESULTS = {
    "acceptances": (settling.accept(), 19),
    "a deferral": (outcomes._DEFER + outcomes._GUARD + may_become(RecipientState.QUEUED), 16),
    "an end": (
        outcomes.finish(outcomes._GUARD + may_become(RecipientState.BOUNCED), first=6),
        16,
    ),
    "what goes back": (outcomes._PUT_BACK + outcomes._GUARD + may_become(RecipientState.QUEUED), 6),
}


@pytest.mark.parametrize("what", RESULTS)
async def test_a_result_finds_its_row_by_the_key(what: str) -> None:
    """By the slot it would read all that is leased, up to a thousand rows, for each."""
    plan = await _plan(*RESULTS[what])
    assert "queue_pkey" in plan, plan
    assert "queue_leased" not in plan, plan


async def test_by_the_slot_it_would_be_another_index() -> None:
    """The control."""
    sql = "DELETE FROM queue WHERE message_id = ANY($1::bigint[]) AND slot = $2"
    assert "queue_leased" in await _plan(sql, 2)


@pytest.mark.parametrize(
    "sql",
    [
        (
            "SELECT message_id FROM (SELECT message_id, slot FROM queue UNION ALL SELECT message_id, 0 FROM recipient) r"
            " ORDER BY message_id DESC LIMIT $1"
        ),
        "SELECT min(next_attempt_at) FROM queue WHERE destination = $1 AND state = 'queued' AND slot IS NULL HAVING count(*) > 0",
    ],
)
async def test_others_would_read_more(sql: str) -> None:
    """The control: a view whose parts have other types, and a least value that is counted as well."""
    assert _reads_all(await _plan(sql, 1))


LOOKUPS: Mapping[str, tuple[str, Sequence[object]]] = {
    "the newest events": (view._LATEST, (10,)),
    "events from a number on": (view._EVENTS, (0, 10)),
    "sums of addresses": (addresses._SUMS, (["x.test@a"],)),
    "the events that are counted next": (tallying._FACTS, (0, 1 << 60, 10)),
}
_JOINED = (
    "SELECT r.address FROM event e JOIN every_recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
    " WHERE e.kind = 'relayed' ORDER BY e.number LIMIT $1"
)


async def _looks(sql: str, values: Sequence[object]) -> int:
    """Return in how many weeks a statement looks up a recipient of the one message that there is."""
    lease_for = timedelta(seconds=60)
    with postgres.a_database() as url:
        store = PostgresStore.open(url, clock=FakeClock(), slots={})
        try:
            identity = WorkerIdentity(node="here", boot="now", name="1")
            worker = (await store.register(identity)).number
            message = a_message("a@x.test")
            [work] = await store.enqueue(message, worker=worker, lease_for=lease_for)
            await store.settle(work.lease, settlements_of(work))
        finally:
            await store.close()

        async def explain(db: Session) -> str:
            rows = await db.fetch(f"EXPLAIN (ANALYZE) {sql}", *values)
            return "\n".join(line for (line,) in rows)

        plan = await ask_once(url, explain)
    scans = [line for line in plan.splitlines() if re.search(r"using recipient_w\d+_pkey", line)]
    assert scans, plan
    return len([line for line in scans if "never executed" not in line])


@pytest.mark.parametrize("what", LOOKUPS)
async def test_a_recipient_is_looked_up_in_one_week(what: str) -> None:
    """However many weeks the history has: its message has the instant in its id."""
    assert await _looks(*LOOKUPS[what]) == 1


async def test_joined_to_the_view_it_would_be_all_weeks() -> None:
    """The control."""
    assert await _looks(_JOINED, (10,)) > 1


async def _first_week_read(most: int | None) -> int:
    """Return the first week of messages that is looked at when what waits, of two messages, is counted by sender.

    Counted from the first week that there is.
    """
    clock = FakeClock()
    with postgres.a_database() as url:
        store = PostgresStore.open(url, clock=clock, slots={})
        try:
            identity = WorkerIdentity(node="here", boot="now", name="1")
            registered = await store.register(identity)
            ids = IdSource(registered)
            for _ in range(2):
                clock.advance(timedelta(days=14))
                message = a_message("a@x.test", "b@x.test")
                message = replace(message, id=ids.next_id(clock.now()), received_at=clock.now())
                await store.enqueue(message, worker=registered.number, lease_for=None)
        finally:
            await store.close()

        async def count(db: Session) -> int:
            asked: list[tuple[str, tuple[object, ...]]] = []
            fetch = db.fetch

            async def noting(sql: str, *values: object) -> Any:
                asked.append((sql, values))
                return await fetch(sql, *values)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(db, "fetch", noting)
                await waiting.count(db, Query(), By.SENDER, most)
            sql, values = asked[-1]
            plan = [line for (line,) in await db.fetch(f"EXPLAIN (ANALYZE) {sql}", *values)]
            read = [
                int(week)
                for line in plan
                if "never executed" not in line
                for week in re.findall(r" on message_w(\d+)", line)
            ]
            weeks = await db.fetch(
                "SELECT substr(relname, 10)::int FROM pg_class WHERE relname ~ '^message_w[0-9]+$'"
            )
            return min(read) - min(int(week) for (week,) in weeks)

        found = await ask_once(url, count)
        return int(found)


async def test_who_sent_what_waits_is_looked_up_from_its_week_on() -> None:
    """`queue list --by sender`: a long history costs nothing, whether or not the queue is longer than what is counted."""
    first, newest = await _first_week_read(None), await _first_week_read(1)
    assert first > 0, "there are weeks before"
    assert newest == first + 2

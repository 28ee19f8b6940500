"""Statements on PostgreSQL whose time must not grow with the history: what the planner makes of them without statistics.

That is how the first ones of a new week are planned, and a plan is kept for as long as its connection.
"""

import pytest

from relayd.store.postgres import destinations, tallying
from relayd.store.postgres.line import WRITES, Line, Session
from tests.support import postgres
from tests.support.postgres import needs_postgres

pytestmark = needs_postgres
STATEMENTS = {
    "the events that are counted next": (tallying._FACTS, 3),
    "when the first destination is due": ("SELECT min(due_at) FROM destination", 0),
    "when a destination is due": (destinations._REFRESH, 1),
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

    line = Line(postgres.database(), "relayd/plans", WRITES)
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

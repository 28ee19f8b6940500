"""Statements on PostgreSQL whose time must not grow with the history: what the planner makes of them without statistics.

That is how the first ones of a new week are planned, and a plan is kept for as long as its connection.
"""

import pytest

from relayd.store.postgres import tallying
from relayd.store.postgres.line import WRITES, Line, Session
from tests.support import postgres
from tests.support.postgres import needs_postgres

pytestmark = needs_postgres
STATEMENTS = {"the events that are counted next": (tallying._FACTS, 3)}


async def _plan(sql: str, parameters: int) -> str:
    """Return the plan that holds for whatever parameters."""

    async def explain(db: Session) -> list[tuple[str]]:
        await db.script(f"PREPARE asked AS {sql}")
        nulls = ", ".join(["NULL"] * parameters)
        return [(line,) for (line,) in await db.fetch(f"EXPLAIN EXECUTE asked({nulls})")]

    line = Line(postgres.database(), "relayd/plans", WRITES)
    try:
        return "\n".join(row for (row,) in await line.submit(explain))
    finally:
        await line.close()


def _reads_all(plan: str) -> bool:
    return any(each in plan for each in ("Seq Scan", "Join Filter", "Materialize"))


@pytest.mark.parametrize("what", STATEMENTS)
async def test_a_statement_reads_what_it_needs_by_an_index(what: str) -> None:
    """Neither a table as a whole, nor all pairs of rows."""
    plan = await _plan(*STATEMENTS[what])
    assert not _reads_all(plan), plan


async def test_a_join_to_the_view_of_all_recipients_would_read_more() -> None:
    """The control: it is the lookup of one row at a time that keeps the planner from it."""
    joined = (
        "SELECT r.destination FROM event e JOIN every_recipient r"
        " ON r.message_id = e.message_id AND r.number = e.recipient WHERE e.number > $1"
    )
    assert _reads_all(await _plan(joined, 1))

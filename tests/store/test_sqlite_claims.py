"""What a claim reads of the queue file does not grow with what waits there."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from relayd.store.sqlite import claims, destinations, leases
from relayd.store.sqlite.connection import open_writer, prepare
from tests.support.clock import START

NOW = int(START.timestamp() * 1000)
_RECIPIENT = """
    WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :count)
    INSERT INTO recipient (message_id, number, address, address_key, destination, state, next_attempt_at, attempts, updated_at)
    SELECT :first + n, 0, 'a@x.test', 'x.test@a', :destination, 'queued', :at, 0, :at FROM counted
"""
_MESSAGE = """
    INSERT INTO message (id, received_at, reverse_path, size, flags, client_ip, helo, listener, account, served_at)
    SELECT message_id, :at, '', 1, 0, '', '', '', '', 0 FROM recipient WHERE destination = :destination
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[apsw.Connection]:
    path = str(tmp_path / "queue.db")
    prepare(path)
    with closing(open_writer(path)) as opened:
        opened.create_scalar_function("served", lambda *_: 0, 0)
        yield opened


def put(db: apsw.Connection, destination: str, count: int, *, first: int, at: int) -> None:
    bindings = {"destination": destination, "count": count, "first": first, "at": at}
    db.execute(_RECIPIENT, bindings)
    db.execute(_MESSAGE, bindings)
    db.execute(
        "INSERT INTO content (message_id, body) SELECT id, '' FROM message WHERE id >= ?", (first,)
    )
    destinations.touch(db, destination, at)


def steps(db: apsw.Connection, *, claimed: int) -> int:
    """Return how many steps SQLite takes for a claim of so much."""
    taken = 0

    def count(event: dict[str, Any]) -> None:
        nonlocal taken
        taken += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

    wanted = claims.Wanted(limit=claimed, each=5, but=(), only=None)
    term = leases.Term(at=0, until=60_000)
    with db:
        db.trace_v2(apsw.SQLITE_TRACE_PROFILE, count)
        work, _ = claims.claim(db, 1, wanted, widths={}, now=NOW, term=term)
        db.trace_v2(0)
    assert sum(len(each.recipients) for each in work) == claimed
    return taken


def _of_queue(db: apsw.Connection, names: list[str], each: int) -> int:
    """Return the steps of a claim where each destination has so much, and a new one a message."""
    first = 1 + int(db.execute("SELECT coalesce(max(id), 0) FROM message").get)
    for number, name in enumerate(names):
        put(db, name, each, first=first + number * each, at=NOW - 5000)
    steps(db, claimed=40)
    put(db, "new.test", 1, first=first + len(names) * each, at=NOW)
    return steps(db, claimed=40)


def test_a_claim_costs_the_same_whatever_waits(db: apsw.Connection, tmp_path: Path) -> None:
    few = _of_queue(db, [f"b{number}.test" for number in range(8)], 50)
    path = str(tmp_path / "long.db")
    prepare(path)
    with closing(open_writer(path)) as other:
        other.create_scalar_function("served", lambda *_: 0, 0)
        many = _of_queue(other, [f"b{number}.test" for number in range(8)], 5000)
    assert many <= few * 1.01, json.dumps([few, many])


@pytest.mark.parametrize(
    ("sql", "index"),
    [(destinations._WITHOUT, "destination_due"), (destinations._BEHIND, "destination_behind")],
)
def test_destinations_are_found_by_an_index_in_their_order(
    db: apsw.Connection, sql: str, index: str
) -> None:
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", (NOW, NOW, 0, "", 5))]
    assert len(plan) == 1, "nothing is sorted"
    assert plan[0].startswith("SEARCH")
    assert f"USING COVERING INDEX {index} " in plan[0] or f"USING INDEX {index} " in plan[0]

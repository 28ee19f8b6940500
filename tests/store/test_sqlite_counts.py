"""Counting the queue reads the queue, whatever the size of the history."""

from contextlib import closing
from pathlib import Path

import apsw

from relayd.store.sqlite.backlog import RANGE, STOPPED
from relayd.store.sqlite.view import COUNTS
from tests.support.stores import open_sqlite


async def test_counts_go_by_an_index_of_unfinished_recipients(tmp_path: Path) -> None:
    """A scrape every few seconds must not read ninety days of finished mail."""
    box = open_sqlite(tmp_path)
    with closing(apsw.Connection(str(tmp_path / "queue.db"))) as db:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {COUNTS}")]
    await box.close()
    reads = [step for step in plan if "recipient" in step]
    assert reads == ["SEARCH recipient USING INDEX recipient_by_kind (state=?)"]


async def test_the_backlog_is_read_off_indexes(tmp_path: Path) -> None:
    """It is counted beside a busy writer: no row of a recipient is read, and no finished one is passed."""
    box = open_sqlite(tmp_path)
    with closing(apsw.Connection(str(tmp_path / "queue.db"))) as db:
        plans = [
            [
                row[3]
                for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", (0,) * bound)
                if "recipient" in row[3]
            ]
            for sql, bound in ((RANGE, 5), (STOPPED, 1))
        ]
    await box.close()
    kind = "state=? AND category=? AND bounce_class=? AND message_id>? AND message_id<?"
    assert plans == [
        [f"SEARCH recipient USING COVERING INDEX recipient_by_kind ({kind})"],
        ["SEARCH recipient USING COVERING INDEX recipient_leased (slot<?)"],
    ]

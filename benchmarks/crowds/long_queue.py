"""A queue of millions, furnished by SQL: some thousand messages are put in by the store, and each is copied.

All of them are due at once, for domains whose hosts take mail. Nothing is synced on the way.

    python -m benchmarks.crowds.long_queue FILE MESSAGES

makes a file ahead, for `benchmarks/crowd queue --furnished FILE`.
"""

import sys
import time
from contextlib import closing
from pathlib import Path

import apsw

from benchmarks import backlog

ONCE = 10_000  # messages that the store puts in
DOMAINS = 200
_AT_ONCE = 500  # of these, with all their copies, in one transaction
_SIZE = 500  # octets
_COPIED = {
    "message": "id",
    "content": "message_id",
    "recipient": "message_id",
    "recipient_by_domain": "message_id",
    "event": "message_id",
}
_EXTRAS = (  # indexes and triggers are made when all rows are there
    "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    " AND tbl_name IN ('message', 'content', 'recipient', 'recipient_by_domain', 'event')"
)


def furnish(path: Path, messages: int) -> float:
    """Make a queue file of so many messages; return the seconds that took."""
    began, copies = time.monotonic(), messages // ONCE
    backlog.fill(path, queued=ONCE, finished=0, size=_SIZE, direct=DOMAINS)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("PRAGMA synchronous=OFF; PRAGMA cache_size=-2000000; PRAGMA temp_store=MEMORY")
        ids = [row[0] for row in db.execute("SELECT id FROM message ORDER BY id")]
        extras = list(db.execute(_EXTRAS))
        for kind, name, _ in extras:
            db.execute(f"DROP {kind} {name}")
        for start in range(0, ONCE, _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            with db:
                for table, key in _COPIED.items():
                    _copy(db, table, key, (some[0], some[-1]), copies)
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        for *_, sql in extras:
            db.execute(sql)
        # As if all had been counted when they came.
        db.execute("INSERT OR REPLACE INTO meta SELECT 'tallied', max(id) FROM event")
    took = time.monotonic() - began
    print(f"{messages:,} messages in {took:.0f} s", file=sys.stderr)
    return took


def _copy(db: apsw.Connection, table: str, key: str, some: tuple[int, int], copies: int) -> None:
    """Give each row of some messages so many copies, under ids that follow on it."""
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    if table == "event":
        columns.remove("id")
    values = ", ".join(f"{name} + k" if name == key else name for name in columns)
    db.execute(
        f"WITH RECURSIVE copy (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM copy WHERE k + 1 < ?)"
        f" INSERT INTO {table} ({', '.join(columns)}) SELECT {values}"
        f" FROM {table} CROSS JOIN copy WHERE {key} BETWEEN ? AND ?",
        (copies, *some),
    )


if __name__ == "__main__":
    furnish(Path(sys.argv[1]), int(sys.argv[2]))

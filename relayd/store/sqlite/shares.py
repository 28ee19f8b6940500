"""Shares of scarce limits on SQLite: one row a limit and worker."""

from collections.abc import Callable, Collection, Mapping

import apsw

from relayd.mail.ids import WorkerNumber
from relayd.policy.delivery.scarce import Claim
from relayd.store.shares import Row, asked, claims, row_of, to_write
from relayd.store.sqlite.values import fetch
from relayd.store.sqlite.writer import Writer

_ALIVE = "SELECT key, worker, claim, since, ends_at FROM share WHERE key = ? AND ends_at > ?"


class SqliteShares:
    """`relayd.ports.shares.Shares` on one SQLite file."""

    def __init__(self, writer: Writer, now: Callable[[], int]) -> None:
        """`now` is the clock that leases end by."""
        self._writer = writer
        self._now = now

    async def ask(
        self, worker: WorkerNumber, keys: Collection[str], *, limit: int
    ) -> Mapping[str, Claim]:
        return await self._writer.submit(
            lambda db: _ask(db, worker, keys, limit=limit, now=self._now())
        )

    async def give_back(self, worker: WorkerNumber, keys: Collection[str]) -> None:
        rows = [(key, worker) for key in keys]
        await self._writer.submit(
            lambda db: db.executemany("DELETE FROM share WHERE key = ? AND worker = ?", rows)
        )


def forget_ended(db: apsw.Connection, *, at: int) -> None:
    """Delete what nobody asked for in time."""
    db.execute("DELETE FROM share WHERE ends_at <= ?", (at,))


def forget(db: apsw.Connection, worker: int) -> None:
    """Delete all that a worker has or wants."""
    db.execute("DELETE FROM share WHERE worker = ?", (worker,))


def _ask(
    db: apsw.Connection, worker: int, keys: Collection[str], *, limit: int, now: int
) -> Mapping[str, Claim]:
    rows: list[Row] = []
    for key in keys:
        rows += [row_of(*row) for row in fetch(db, _ALIVE, (key, now))]
    found = asked(rows, keys, worker=worker, limit=limit, now=now)
    db.executemany(
        "INSERT OR REPLACE INTO share (key, worker, claim, since, ends_at) VALUES (?, ?, ?, ?, ?)",
        [
            (row.key, worker, row.claimant.claim, row.claimant.since, row.ends_at)
            for row in to_write(rows, found.values())
        ],
    )
    return claims(found)

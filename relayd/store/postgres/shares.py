"""Shares of scarce limits on PostgreSQL: one row a limit and worker.

Who asks for a share sees what the others have, and nobody else decides at that limit meanwhile.
"""

from collections.abc import Callable, Collection, Mapping

from relayd.mail.ids import WorkerNumber
from relayd.policy.delivery.scarce import Claim
from relayd.store.postgres.line import Line, Session
from relayd.store.postgres.moment import SERVER_CLOCK, Moment
from relayd.store.shares import asked, claims, row_of, to_write

_AT = f"coalesce($1::bigint, {SERVER_CLOCK})"
_LOCKS = 0x73686172  # "shar"; all take them in the order of their numbers
_LOCK = (
    "SELECT pg_advisory_xact_lock($1, number) FROM"
    " (SELECT DISTINCT hashtext(key) AS number FROM unnest($2::text[]) AS k (key) ORDER BY number) AS n"
)
_THERE = (
    f"SELECT a.now, s.key, s.worker, s.claim, s.since, s.ends_at FROM (SELECT {_AT} AS now) AS a"  # noqa: S608 -- constants
    " LEFT JOIN share s ON s.key = ANY($2::text[])"
)
_WRITE = (
    "INSERT INTO share (key, worker, claim, since, ends_at)"
    " SELECT key, $1, claim, since, ends_at FROM"
    " unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS r (key, claim, since, ends_at)"
    " ON CONFLICT (key, worker) DO UPDATE SET claim = excluded.claim, since = excluded.since,"
    " ends_at = excluded.ends_at"
)


class PostgresShares:
    """`relayd.ports.shares.Shares` on PostgreSQL."""

    def __init__(self, line: Line, moment: Callable[[], Moment]) -> None:
        self._line = line
        self._moment = moment

    async def ask(
        self, worker: WorkerNumber, keys: Collection[str], *, limit: int
    ) -> Mapping[str, Claim]:
        return await self._line.submit(
            lambda db: ask(db, worker, keys, limit=limit, at=self._moment())
        )

    async def give_back(self, worker: WorkerNumber, keys: Collection[str]) -> None:
        await self._line.submit(
            lambda db: db.execute(
                "DELETE FROM share WHERE key = ANY($1::text[]) AND worker = $2", list(keys), worker
            )
        )


async def ask(
    db: Session, worker: int, keys: Collection[str], *, limit: int, at: Moment
) -> Mapping[str, Claim]:
    """Decide what a worker has of each limit.

    Just after the store was away what ended counts: who has it could not renew it.
    """
    await db.fetch(_LOCK, _LOCKS, list(keys))
    found = await db.fetch(_THERE, at.lease_at, list(keys))
    now = found[0][0]
    is_set = at.server_by is not None and now > at.server_by
    may_be_over = at.may_take_over and not is_set
    rows = [row_of(*row) for _, *row in found if row[0] is not None]
    alive = [row for row in rows if row.ends_at > now or (row.is_held and not may_be_over)]
    after = asked(alive, keys, worker=worker, limit=limit, now=now)
    changed = to_write(rows, after.values())
    if changed:
        await db.execute(
            _WRITE,
            worker,
            [row.key for row in changed],
            [str(row.claimant.claim) for row in changed],
            [row.claimant.since for row in changed],
            [row.ends_at for row in changed],
        )
    return claims(after)


async def forget_ended(db: Session, *, at: Moment) -> None:
    """Delete what nobody asked for in time."""
    if at.may_take_over:
        await db.execute(f"DELETE FROM share WHERE ends_at <= {_AT}", at.lease_at)  # noqa: S608 -- constants


async def forget(db: Session, worker: int) -> None:
    """Delete all that a worker has or wants."""
    await db.execute("DELETE FROM share WHERE worker = $1", worker)

"""MTA-STS policies and counted TLS sessions on PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

from relayd.mail.envelope import NewMessage
from relayd.mail.tls_count import CountedDomain, CountedSession
from relayd.policy.tls.sts import REFRESH_AFTER, RETRY_AFTER, USED_WITHIN, StsEntry
from relayd.ports.outward import Clock
from relayd.store.postgres import messages
from relayd.store.postgres.line import Line, Session
from relayd.store.postgres.moment import Moment
from relayd.store.postgres.questions import Questions
from relayd.store.trust_rows import (
    COUNTED,
    ENTRY,
    read_counts,
    read_entry,
    row_of_count,
    row_of_entry,
)
from relayd.store.values import to_ms

_AT_ONCE = 1000  # rows deleted in one transaction
_ENTRY = f"SELECT {ENTRY} FROM sts_policy"  # noqa: S608 -- constants, as below
# Who is told of a policy alone fetches it: the others see it again after RETRY_AFTER.
_DUE = (
    "WITH due AS MATERIALIZED (SELECT domain FROM sts_policy"  # noqa: S608
    " WHERE mode <> '' AND fetched_at <= $1 AND not_before <= $2 AND used_at >= $3"
    " ORDER BY fetched_at LIMIT $4 FOR UPDATE SKIP LOCKED),"
    " told AS (UPDATE sts_policy SET not_before = $5 FROM due WHERE sts_policy.domain = due.domain)"
    f" {_ENTRY} JOIN due USING (domain) ORDER BY fetched_at"
)
# A policy that seems to be of the future was fetched before the clock was set back.
_KEEP = (
    f"INSERT INTO sts_policy AS p ({ENTRY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"  # noqa: S608
    " ON CONFLICT (domain) DO UPDATE SET id = excluded.id, mode = excluded.mode, hosts = excluded.hosts,"
    " max_age = excluded.max_age, fetched_at = excluded.fetched_at,"
    " used_at = greatest(p.used_at, excluded.used_at), not_before = excluded.not_before, why = excluded.why"
    " WHERE excluded.fetched_at >= p.fetched_at OR p.fetched_at > $10"
)
_COUNT = (
    "INSERT INTO tls_result AS t (day, domain, key, policy, result, host, source_ip, ip, reason, sessions)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    " ON CONFLICT (day, domain, key) DO UPDATE SET sessions = t.sessions + excluded.sessions"
)
_COUNTS = (
    f"SELECT {COUNTED} FROM tls_result WHERE day = coalesce($1, day) AND domain = coalesce($2, domain)"  # noqa: S608
    " ORDER BY day, domain, policy, result, host, ip, source_ip, reason"
)
_DAYS = (
    "SELECT day, domain, bool_or(result <> '') FROM tls_result WHERE day < $1"
    " GROUP BY day, domain ORDER BY day, domain"
)
_OLD_POLICIES = (
    "DELETE FROM sts_policy WHERE domain IN"
    " (SELECT domain FROM sts_policy WHERE used_at < $1 ORDER BY domain LIMIT $2)"
)
_OLD_RESULTS = (
    "DELETE FROM tls_result WHERE (day, domain, key) IN"
    " (SELECT day, domain, key FROM tls_result WHERE day < $1 ORDER BY day, domain, key LIMIT $2)"
)


class PostgresTrust:
    """`relayd.ports.trust.TrustStore`."""

    def __init__(self, line: Line, clock: Clock, moment: Callable[[], Moment]) -> None:
        self._line = line
        self._clock = clock
        self._moment = moment

    async def sts_policy(self, domain: str) -> StsEntry | None:
        return await self._line.submit(lambda db: entry(db, domain))

    async def keep_sts_policy(self, entry: StsEntry) -> None:
        row = (*row_of_entry(entry), to_ms(self._clock.now()))
        await self._line.submit(lambda db: db.execute(_KEEP, *row))

    async def due_sts_policies(self, limit: int) -> Sequence[StsEntry]:
        now = self._clock.now()
        fetched, used, again = (
            to_ms(at) for at in (now - REFRESH_AFTER, now - USED_WITHIN, now + RETRY_AFTER)
        )
        rows = await self._line.submit(
            lambda db: db.fetch(_DUE, fetched, to_ms(now), used, limit, again)
        )
        return [read_entry(row) for row in rows]

    async def forget_sts_policies(self, unused_since: datetime) -> int:
        return await self._delete(_OLD_POLICIES, to_ms(unused_since))

    async def add_tls_results(self, counts: Mapping[CountedSession, int]) -> None:
        rows = sorted(row_of_count(session, count) for session, count in counts.items())
        await self._line.submit(lambda db: db.many(_COUNT, rows))

    async def tls_days(self, until: date) -> Sequence[CountedDomain]:
        rows = await self._line.submit(lambda db: db.fetch(_DAYS, until.isoformat()))
        return [
            CountedDomain(day=date.fromisoformat(day), domain=domain, failed=failed)
            for day, domain, failed in rows
        ]

    async def tls_results(self, day: date, domain: str) -> Mapping[CountedSession, int]:
        return await self._line.submit(lambda db: counts(db, day, domain))

    async def file_tls_report(self, day: date, domain: str, filed: Sequence[NewMessage]) -> bool:
        async def operation(db: Session) -> bool:
            sql = "DELETE FROM tls_result WHERE day = $1 AND domain = $2"
            if not await db.execute(sql, day.isoformat(), domain):
                return False
            for message in filed:
                await messages.insert(db, message, {}, at=self._moment(), is_returned=True)
            return True

        return await self._line.submit(operation)

    async def forget_tls_results(self, until: date) -> int:
        return await self._delete(_OLD_RESULTS, until.isoformat())

    async def _delete(self, sql: str, limit: object) -> int:
        deleted = 0
        while gone := await self._line.submit(lambda db: db.execute(sql, limit, _AT_ONCE)):
            deleted += gone  # mail goes on in between
        return deleted


class PostgresTrustView:
    """`relayd.ports.trust.TrustView`."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def kept_sts_policy(self, domain: str) -> StsEntry | None:
        return self._questions.ask(lambda db: entry(db, domain))

    def tls_counts(self, day: date | None = None) -> Mapping[CountedSession, int]:
        return self._questions.ask(lambda db: counts(db, day))


async def entry(db: Session, domain: str) -> StsEntry | None:
    rows = await db.fetch(f"{_ENTRY} WHERE domain = $1", domain)
    return read_entry(rows[0]) if rows else None


async def counts(
    db: Session, day: date | None, domain: str | None = None
) -> Mapping[CountedSession, int]:
    return read_counts(await db.fetch(_COUNTS, None if day is None else day.isoformat(), domain))

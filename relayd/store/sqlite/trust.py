"""MTA-STS policies and counted TLS sessions on SQLite."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any

import apsw

from relayd.mail.envelope import NewMessage
from relayd.mail.tls_count import CountedDomain, CountedSession
from relayd.policy.tls.sts import RETRY_AFTER, StsEntry
from relayd.ports.outward import Clock
from relayd.store.sqlite import messages, trust_rows
from relayd.store.sqlite.reading import Reader
from relayd.store.sqlite.values import fetch, to_ms
from relayd.store.sqlite.writer import Writer
from relayd.store.trust_rows import row_of_count, row_of_entry

_AT_ONCE = 1000  # rows deleted in one transaction
# A policy that seems to be of the future was fetched before the clock was set back.
_KEEP = (
    "INSERT INTO sts_policy VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (domain) DO UPDATE"
    " SET id = ?2, mode = ?3, hosts = ?4, max_age = ?5, fetched_at = ?6, used_at = max(used_at, ?7),"
    " not_before = ?8, why = ?9 WHERE ?6 >= fetched_at OR fetched_at > ?10"
)
_COUNT = (
    "INSERT INTO tls_result VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
    " ON CONFLICT (day, domain, key) DO UPDATE SET sessions = sessions + ?10"
)


class SqliteTrust:
    """`relayd.ports.trust.TrustStore`."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock

    async def sts_policy(self, domain: str) -> StsEntry | None:
        return await self._reader.ask(lambda db: trust_rows.entry(db, domain))

    async def keep_sts_policy(self, entry: StsEntry) -> None:
        row = (*row_of_entry(entry), to_ms(self._clock.now()))
        await self._writer.submit(lambda db: _run(db, _KEEP, row))

    async def due_sts_policies(self, limit: int) -> Sequence[StsEntry]:
        now = self._clock.now()
        if not await self._reader.ask(lambda db: trust_rows.due(db, now, 1)):
            return ()  # nothing is written for that

        def operation(db: apsw.Connection) -> Sequence[StsEntry]:
            found = trust_rows.due(db, now, limit)
            db.executemany(
                "UPDATE sts_policy SET not_before = ? WHERE domain = ?",
                [(to_ms(now + RETRY_AFTER), entry.domain) for entry in found],
            )
            return found

        return await self._writer.submit(operation)

    async def forget_sts_policies(self, unused_since: datetime) -> int:
        limit = to_ms(unused_since)
        old = "SELECT domain FROM sts_policy WHERE used_at < ? LIMIT ?"
        return await self._delete(
            lambda db: fetch(db, old, (limit, _AT_ONCE)), "DELETE FROM sts_policy WHERE domain = ?"
        )

    async def add_tls_results(self, counts: Mapping[CountedSession, int]) -> None:
        rows = [row_of_count(session, count) for session, count in counts.items()]
        await self._writer.submit(lambda db: _run_many(db, _COUNT, rows))

    async def tls_days(self, until: date) -> Sequence[CountedDomain]:
        sql = (
            "SELECT day, domain, max(result != '') FROM tls_result WHERE day < ?"
            " GROUP BY day, domain ORDER BY day, domain"
        )
        rows = await self._reader.ask(lambda db: fetch(db, sql, (until.isoformat(),)))
        return [
            CountedDomain(day=date.fromisoformat(day), domain=domain, failed=bool(failed))
            for day, domain, failed in rows
        ]

    async def tls_results(self, day: date, domain: str) -> Mapping[CountedSession, int]:
        return await self._reader.ask(lambda db: trust_rows.counts(db, day, domain))

    async def file_tls_report(self, day: date, domain: str, filed: Sequence[NewMessage]) -> bool:
        key = (day.isoformat(), domain)

        def operation(db: apsw.Connection) -> bool:
            db.execute("DELETE FROM tls_result WHERE day = ? AND domain = ?", key)
            if not db.changes():
                return False
            for message in filed:
                messages.insert(db, message, {}, is_returned=True)
            return True

        return await self._writer.submit(operation)

    async def forget_tls_results(self, until: date) -> int:
        old = "SELECT day, domain, key FROM tls_result WHERE day < ? LIMIT ?"
        return await self._delete(
            lambda db: fetch(db, old, (until.isoformat(), _AT_ONCE)),
            "DELETE FROM tls_result WHERE day = ? AND domain = ? AND key = ?",
        )

    async def _delete(
        self, find: Callable[[apsw.Connection], list[tuple[Any, ...]]], delete: str
    ) -> int:
        deleted = 0
        while keys := await self._reader.ask(find):  # mail goes on in between
            await self._writer.submit(partial(_run_many, sql=delete, rows=keys))
            deleted += len(keys)
        return deleted


def _run(db: apsw.Connection, sql: str, row: tuple[Any, ...]) -> None:
    db.execute(sql, row)


def _run_many(db: apsw.Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    db.executemany(sql, rows)

"""Questions about MTA-STS policies and counted TLS sessions."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import apsw

from relayd.mail.tls_count import CountedSession
from relayd.policy.tls.sts import REFRESH_AFTER, USED_WITHIN, StsEntry
from relayd.store.sqlite.values import fetch, to_ms
from relayd.store.trust_rows import COUNTED, ENTRY, read_counts, read_entry

_ENTRY = f"SELECT {ENTRY} FROM sts_policy"  # noqa: S608 -- constants
_DUE = (
    f"{_ENTRY} WHERE mode != '' AND fetched_at <= ? AND not_before <= ? AND used_at >= ?"
    " ORDER BY fetched_at LIMIT ?"
)


def entry(db: apsw.Connection, domain: str) -> StsEntry | None:
    rows = fetch(db, f"{_ENTRY} WHERE domain = ?", (domain,))
    return read_entry(rows[0]) if rows else None


def due(db: apsw.Connection, now: datetime, limit: int) -> Sequence[StsEntry]:
    fetched, used = to_ms(now - REFRESH_AFTER), to_ms(now - USED_WITHIN)
    return [read_entry(row) for row in fetch(db, _DUE, (fetched, to_ms(now), used, limit))]


def counts(
    db: apsw.Connection, day: date | None, domain: str | None = None
) -> Mapping[CountedSession, int]:
    rows = fetch(
        db,
        f"SELECT {COUNTED} FROM tls_result WHERE (?1 IS NULL OR day = ?1) AND (?2 IS NULL OR domain = ?2)"  # noqa: S608 -- constants
        " ORDER BY day, domain, policy, result, host, ip, source_ip, reason",
        (None if day is None else day.isoformat(), domain),
    )
    return read_counts(rows)

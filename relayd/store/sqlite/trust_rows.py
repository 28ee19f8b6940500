"""Rows of MTA-STS policies and of counted TLS sessions: from values, and back."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import apsw

from relayd.mail.tls_count import CountedSession, digest_of, read_counted
from relayd.policy.tls.sts import REFRESH_AFTER, USED_WITHIN, StsEntry, StsMode, StsPolicy
from relayd.store.sqlite.values import fetch, from_ms, to_ms

_ENTRY = (
    "SELECT domain, id, mode, hosts, max_age, fetched_at, used_at, not_before, why FROM sts_policy"
)
_DUE = (
    f"{_ENTRY} WHERE mode != '' AND fetched_at <= ? AND not_before <= ? AND used_at >= ?"
    " ORDER BY fetched_at LIMIT ?"
)
_COUNTED = "SELECT day, policy, result, host, source_ip, ip, reason, sessions FROM tls_result"


def entry(db: apsw.Connection, domain: str) -> StsEntry | None:
    rows = fetch(db, f"{_ENTRY} WHERE domain = ?", (domain,))
    return _read(rows[0]) if rows else None


def due(db: apsw.Connection, now: datetime, limit: int) -> Sequence[StsEntry]:
    fetched, used = to_ms(now - REFRESH_AFTER), to_ms(now - USED_WITHIN)
    return [_read(row) for row in fetch(db, _DUE, (fetched, to_ms(now), used, limit))]


def _read(row: tuple[Any, ...]) -> StsEntry:
    domain, policy_id, mode, hosts, max_age, fetched_at, used_at, not_before, why = row
    policy = None
    if mode:
        policy = StsPolicy(
            mode=StsMode(mode),
            hosts=tuple(filter(None, hosts.split("\n"))),
            max_age=timedelta(seconds=max_age),
            id=policy_id,
        )
    return StsEntry(
        domain=domain,
        policy=policy,
        fetched_at=from_ms(fetched_at),
        used_at=from_ms(used_at),
        not_before=from_ms(not_before) if not_before else None,
        why=why,
    )


def row_of(entry: StsEntry) -> tuple[Any, ...]:
    policy = entry.policy
    what: tuple[Any, ...] = ("", "", "", 0)
    if policy is not None:
        seconds = int(policy.max_age.total_seconds())
        what = (policy.id, policy.mode.value, "\n".join(policy.hosts), seconds)
    not_before = 0 if entry.not_before is None else to_ms(entry.not_before)
    when = (to_ms(entry.fetched_at), to_ms(entry.used_at), not_before)
    return (entry.domain, *what, *when, entry.why)


def counts(
    db: apsw.Connection, day: date | None, domain: str | None = None
) -> Mapping[CountedSession, int]:
    rows = fetch(
        db,
        f"{_COUNTED} WHERE (?1 IS NULL OR day = ?1) AND (?2 IS NULL OR domain = ?2)"
        " ORDER BY day, domain, policy, result, host, ip, source_ip, reason",
        (None if day is None else day.isoformat(), domain),
    )
    return {
        CountedSession(
            day=date.fromisoformat(of),
            policy=read_counted(policy),
            result=result,
            host=host,
            source_ip=source_ip,
            ip=ip,
            reason=reason,
        ): sessions
        for of, policy, result, host, source_ip, ip, reason, sessions in rows
    }


def row_of_count(session: CountedSession, count: int) -> tuple[Any, ...]:
    policy = session.policy.text
    rest = (session.result, session.host, session.source_ip, session.ip, session.reason)
    key = digest_of((policy, *rest))
    return (session.day.isoformat(), session.policy.domain, key, policy, *rest, count)

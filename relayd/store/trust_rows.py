"""Between rows and MTA-STS policies or counted TLS sessions, whatever the engine."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from relayd.mail.tls_count import CountedSession, digest_of, read_counted
from relayd.policy.tls.sts import StsEntry, StsMode, StsPolicy
from relayd.store.values import from_ms, to_ms

ENTRY = "domain, id, mode, hosts, max_age, fetched_at, used_at, not_before, why"
COUNTED = "day, policy, result, host, source_ip, ip, reason, sessions"


def read_entry(row: tuple[Any, ...]) -> StsEntry:
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


def row_of_entry(entry: StsEntry) -> tuple[Any, ...]:
    policy = entry.policy
    what: tuple[Any, ...] = ("", "", "", 0)
    if policy is not None:
        seconds = int(policy.max_age.total_seconds())
        what = (policy.id, policy.mode.value, "\n".join(policy.hosts), seconds)
    not_before = 0 if entry.not_before is None else to_ms(entry.not_before)
    when = (to_ms(entry.fetched_at), to_ms(entry.used_at), not_before)
    return (entry.domain, *what, *when, entry.why)


def read_counts(rows: Sequence[tuple[Any, ...]]) -> Mapping[CountedSession, int]:
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

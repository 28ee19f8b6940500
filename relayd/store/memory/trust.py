"""MTA-STS policies and counted TLS sessions on plain dicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from relayd.mail.envelope import NewMessage
from relayd.mail.tls_count import CountedDomain, CountedSession
from relayd.policy.tls.sts import REFRESH_AFTER, RETRY_AFTER, USED_WITHIN, StsEntry
from relayd.ports.outward import Clock
from relayd.store.memory.tables import Tables


class MemoryTrustView:
    """`relayd.ports.trust.TrustView`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def kept_sts_policy(self, domain: str) -> StsEntry | None:
        return self._tables.sts_policies.get(domain)

    def tls_counts(self, day: date | None = None) -> Mapping[CountedSession, int]:
        counts = self._tables.tls_counts
        found = (session for session in counts if day is None or session.day == day)
        return {session: counts[session] for session in sorted(found, key=_order)}


class MemoryTrust(MemoryTrustView):
    """`relayd.ports.trust.TrustStore`."""

    def __init__(self, tables: Tables, clock: Clock, add: Callable[[NewMessage], object]) -> None:
        super().__init__(tables)
        self._clock = clock
        self._add = add

    async def sts_policy(self, domain: str) -> StsEntry | None:
        return self.kept_sts_policy(domain)

    async def keep_sts_policy(self, entry: StsEntry) -> None:
        known = self._tables.sts_policies.get(entry.domain)
        if known is not None:
            if entry.fetched_at < known.fetched_at <= self._clock.now():
                return
            entry = replace(entry, used_at=max(entry.used_at, known.used_at))
        self._tables.sts_policies[entry.domain] = entry

    async def due_sts_policies(self, limit: int) -> Sequence[StsEntry]:
        now = self._clock.now()
        due = [
            entry
            for entry in self._tables.sts_policies.values()
            if entry.policy is not None
            and entry.fetched_at + REFRESH_AFTER <= now
            and (entry.not_before is None or entry.not_before <= now)
            and entry.used_at >= now - USED_WITHIN
        ]
        found = sorted(due, key=lambda entry: entry.fetched_at)[:limit]
        for entry in found:
            self._tables.sts_policies[entry.domain] = replace(entry, not_before=now + RETRY_AFTER)
        return found

    async def forget_sts_policies(self, unused_since: datetime) -> int:
        kept = self._tables.sts_policies
        old = [domain for domain, entry in kept.items() if entry.used_at < unused_since]
        for domain in old:
            del kept[domain]
        return len(old)

    async def add_tls_results(self, counts: Mapping[CountedSession, int]) -> None:
        kept = self._tables.tls_counts
        for session, count in counts.items():
            kept[session] = kept.get(session, 0) + count

    async def tls_days(self, until: date) -> Sequence[CountedDomain]:
        failed: dict[tuple[date, str], bool] = {}
        for session in self.tls_counts():
            if session.day < until:
                key = (session.day, session.policy.domain)
                failed[key] = failed.get(key, False) or bool(session.result)
        return [
            CountedDomain(day=day, domain=domain, failed=has_failed)
            for (day, domain), has_failed in failed.items()
        ]

    async def tls_results(self, day: date, domain: str) -> Mapping[CountedSession, int]:
        found = self.tls_counts(day)
        return {each: found[each] for each in found if each.policy.domain == domain}

    async def file_tls_report(self, day: date, domain: str, messages: Sequence[NewMessage]) -> bool:
        gone = await self.tls_results(day, domain)
        self._drop(gone)
        for message in messages if gone else ():
            self._add(message)
        return bool(gone)

    async def forget_tls_results(self, until: date) -> int:
        old = [session for session in self._tables.tls_counts if session.day < until]
        self._drop(old)
        return len(old)

    def _drop(self, sessions: Sequence[CountedSession] | Mapping[CountedSession, int]) -> None:
        for session in sessions:
            del self._tables.tls_counts[session]


def _order(session: CountedSession) -> tuple[date | str, ...]:
    rest = (session.result, session.host, session.ip, session.source_ip, session.reason)
    return (session.day, session.policy.domain, session.policy.text, *rest)

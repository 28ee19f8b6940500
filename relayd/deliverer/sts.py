"""MTA-STS policies of the domains that mail goes to: from memory, from the store, or fetched.

Owns when which of these is asked. A live policy is used at once; whether the domain has another one by now is asked
behind the delivery. Only the first mail to a domain waits for its record and its policy. Domains are A-labels. A record is asked for beside
the mail hosts. A policy is fetched once mail waits for it: no domain that has no mail host makes us ask its web server.

Invariant: a policy is given up only for another one or at its end, whatever the DNS and the web server say meanwhile
(RFC 8461 §5). Without the store nobody knows whether there is one: StoreError, and the mail waits.

Source: RFC 8461 §3.1, §3.3, §5, §5.1.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from relayd.errors import StoreError
from relayd.mail.dns import DnsFailure, TextAnswer
from relayd.policy.tls.sts import (
    RETRY_AFTER,
    NoPolicy,
    StsEntry,
    StsPolicy,
    needs_refresh,
    read_record,
)
from relayd.ports.outward import Clock
from relayd.ports.trust import TrustStore

WITHIN = 20.0  # seconds for record and policy together
_KNOWN = 1000  # domains in memory
_KNOWN_FOR = 60.0  # seconds, then the store is asked again: another worker may have fetched
_USED_EACH = timedelta(days=1)  # that it is used is written no more often
_REFRESH_AGAIN = timedelta(hours=1)  # after a daily fetch that gave nothing; the policy lives on
_AT_ONCE = 10  # policies fetched by one round of the daily refresh

log = structlog.get_logger(__name__)


class Texts(Protocol):
    """What asks the DNS."""

    async def texts(self, name: str, /) -> TextAnswer: ...


class Fetcher(Protocol):
    """What fetches a policy; whatever happens is an outcome."""

    async def fetch(
        self, domain: str, policy_id: str, *, within: float
    ) -> StsPolicy | NoPolicy: ...


_Look = Callable[[str], Coroutine[Any, Any, StsEntry | None]]
NotesFailure = Callable[[str, StsPolicy | None, NoPolicy], None]
"""Is told of a domain, the policy that still counts, and what could not be had."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What this worker knows of a domain."""

    entry: StsEntry | None
    until: float  # monotonic


class _Unwanted(Exception):
    """A policy would have to be fetched, and no mail waits for it by now."""


class StsPolicies:
    """The policies that one worker knows."""

    def __init__(
        self,
        store: TrustStore,
        resolver: Texts,
        fetcher: Fetcher,
        *,
        clock: Clock,
        note_failure: NotesFailure = lambda _domain, _policy, _why: None,
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._fetcher = fetcher
        self._clock = clock
        self._note_failure = note_failure
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._flights: dict[str, asyncio.Task[StsEntry | None]] = {}
        self._begun: set[str] = set()  # domains in flight that no mail waits for yet
        self._behind: set[asyncio.Task[None]] = set()

    def begin(self, domain: str) -> None:
        """Ask what `policy` is going to ask, beside other questions."""
        known = self._known.get(domain)
        is_known = known is not None and self._clock.monotonic() < known.until
        if not is_known and domain not in self._flights:
            self._begun.add(domain)
            self._flight(domain, self._look)

    async def policy(self, domain: str) -> StsPolicy | None:
        """Return the policy that counts for a domain; None: none does. Raises StoreError."""
        now = self._clock.now()
        known = self._known.get(domain)
        if known is not None and self._clock.monotonic() < known.until:
            if known.entry is None:
                return None
            if known.entry.policy is None or now < known.entry.expires_at:
                return known.entry.live(now)
        entry = await self._one_flight(domain, self._look)
        return None if entry is None else entry.live(self._clock.now())

    async def policy_now(self, domain: str) -> StsPolicy | None:
        """Return it after the record was asked again: mail is about to wait for what it says (T-02). Raises StoreError."""
        entry = await self._one_flight(domain, self._look_again)
        return None if entry is None else entry.live(self._clock.now())

    async def refresh(self) -> int:
        """Fetch some of the policies again that are a day old; return how many. Raises StoreError."""
        due = await self._store.due_sts_policies(_AT_ONCE)
        for entry in due:
            after = await self._updated(entry.domain, entry, is_daily=True)
            if after is None or after.fetched_at == entry.fetched_at:
                resting = self._clock.now() + _REFRESH_AGAIN
                await self._store.keep_sts_policy(replace(after or entry, not_before=resting))
        return len(due)

    def close(self) -> None:
        """End what is asked behind deliveries."""
        for task in (*self._behind, *self._flights.values()):
            task.cancel()

    async def _one_flight(self, domain: str, look: _Look) -> StsEntry | None:
        self._begun.discard(domain)
        return await asyncio.shield(self._flight(domain, look))  # others wait for it too

    def _flight(self, domain: str, look: _Look) -> "asyncio.Task[StsEntry | None]":
        """Return the one that is under way for a domain, or begin it."""
        flight = self._flights.get(domain)
        if flight is None:
            flight = asyncio.ensure_future(look(domain))
            self._flights[domain] = flight
            flight.add_done_callback(lambda done: self._landed(domain, done))
        return flight

    def _landed(self, domain: str, flight: "asyncio.Task[StsEntry | None]") -> None:
        if self._flights.get(domain) is flight:
            self._leave(domain)
        if flight.cancelled() or flight.exception() is not None:
            return
        self._remember(domain, flight.result())

    def _leave(self, domain: str) -> None:
        del self._flights[domain]
        self._begun.discard(domain)

    def _remember(self, domain: str, entry: StsEntry | None) -> None:
        self._known[domain] = _Known(entry, self._clock.monotonic() + _KNOWN_FOR)
        self._known.move_to_end(domain)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    async def _look(self, domain: str) -> StsEntry | None:
        entry = await self._store.sts_policy(domain)
        if entry is None or entry.policy is None or self._clock.now() >= entry.expires_at:
            return await self._updated(domain, entry, is_awaited=lambda: domain not in self._begun)
        behind = asyncio.ensure_future(self._check(entry))
        self._behind.add(behind)
        behind.add_done_callback(self._behind.discard)
        return entry

    async def _look_again(self, domain: str) -> StsEntry | None:
        return await self._updated(domain, await self._store.sts_policy(domain))

    async def _check(self, entry: StsEntry) -> None:
        """See whether there is another policy, and note that this one is of use."""
        now = self._clock.now()
        try:
            if now - entry.used_at >= _USED_EACH:
                entry = replace(entry, used_at=now)
                await self._store.keep_sts_policy(entry)
            after = await self._updated(entry.domain, entry)
        except StoreError as error:
            log.info("sts_policy_not_kept", domain=entry.domain, fault="local", reason=str(error))
            return
        if after is not entry:
            self._remember(entry.domain, after)

    async def _updated(
        self,
        domain: str,
        entry: StsEntry | None,
        *,
        is_daily: bool = False,
        is_awaited: Callable[[], bool] = lambda: True,
    ) -> StsEntry | None:
        """Return what is kept of a domain from now on, after its record was asked."""
        began = self._clock.monotonic()
        answer = await self._resolver.texts(f"_mta-sts.{domain}")
        if isinstance(answer, DnsFailure):
            return entry
        found = read_record(answer.texts)
        if isinstance(found, NoPolicy):
            return entry
        if not is_daily and not needs_refresh(entry, found, self._clock.now()):
            return entry
        if not is_awaited():
            self._leave(domain)  # who comes from now on begins anew
            raise _Unwanted
        left = max(WITHIN - (self._clock.monotonic() - began), 1.0)
        policy = await self._fetcher.fetch(domain, found, within=left)
        after = self._after(domain, entry, policy)
        await self._store.keep_sts_policy(after)
        return after

    def _after(self, domain: str, entry: StsEntry | None, got: StsPolicy | NoPolicy) -> StsEntry:
        now = self._clock.now()
        if isinstance(got, StsPolicy):
            if entry is not None and entry.policy is not None:
                _tell(domain, entry.policy, got)
            return StsEntry(domain=domain, policy=got, fetched_at=now, used_at=_used(entry, now))
        policy = None if entry is None else entry.live(now)
        self._note_failure(domain, policy, got)
        if entry is None:
            entry = StsEntry(domain=domain, policy=None, fetched_at=now, used_at=now)
        return replace(entry, not_before=now + RETRY_AFTER, why=got.why)


def _used(entry: StsEntry | None, now: datetime) -> datetime:
    return now if entry is None else entry.used_at


def _tell(domain: str, before: StsPolicy, after: StsPolicy) -> None:
    if (before.mode, set(before.hosts)) != (after.mode, set(after.hosts)):
        log.info(
            "sts_policy_changed",
            domain=domain,
            before=str(before.mode),
            mode=str(after.mode),
            hosts=", ".join(after.hosts),
        )

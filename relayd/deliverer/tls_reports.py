"""TLS reports: each domain of yesterday gets one, from whichever worker comes first.

Owns the order of things. What was counted is deleted in the commit that queues the mails, so that nobody else reports it;
only who made that commit sends the report to web servers. A worker that dies before that loses their copy, no mail.

Source: RFC 8460 §3, §4.1, §5.3, §5.4.
"""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

import structlog

from relayd.deliverer.sts import Texts
from relayd.errors import StoreBroken, StoreError
from relayd.mail.address import Address
from relayd.mail.dns import DnsFailure
from relayd.mail.envelope import NewMessage
from relayd.mail.tls_count import CountedDomain
from relayd.policy.tls.reporting import is_wanted
from relayd.policy.tls.tlsrpt import (
    ReportFacts,
    compose,
    document,
    due_at,
    packed,
    read_receivers,
)
from relayd.ports.outward import Clock
from relayd.ports.trust import TrustStore
from relayd.settings import TlsrptSettings

_DNS_AGAIN = timedelta(hours=1)  # after a lookup that failed
_POSTED_AT_ONCE = 10

log = structlog.get_logger(__name__)


class PostsReport(Protocol):
    """What sends a packed report to a web server."""

    async def post(self, url: str, report: bytes, /) -> str:
        """Return why it was not taken; empty: it was."""
        ...


class MailsReport(Protocol):
    """What makes messages of reports."""

    def new_token(self) -> str:
        """Return what makes a report and its message unique."""
        ...

    async def message(self, to: Address, composed: bytes) -> NewMessage | None:
        """Return the signed message; None: that address gets none, or it cannot be signed. Raises StoreError."""
        ...

    def filed(self, message: NewMessage) -> None:
        """Note that it is queued."""
        ...


@dataclass(frozen=True, slots=True)
class _Post:
    domain: str
    url: str
    report: bytes


class TlsReports:
    """Sends the reports of one worker."""

    def __init__(
        self,
        settings: TlsrptSettings,
        store: TrustStore,
        resolver: Texts,
        *,
        clock: Clock,
        mails: MailsReport,
        posts: PostsReport,
    ) -> None:
        self._settings = settings
        self._store = store
        self._resolver = resolver
        self._clock = clock
        self._mails = mails
        self._posts = posts
        self._rests: dict[tuple[date, str], datetime] = {}  # until when the DNS is not asked

    async def send_due(self) -> None:
        """Send the reports whose time has come. Raises StoreError: the rest is sent the next time."""
        now = self._clock.now()
        self._rests = {key: until for key, until in self._rests.items() if until > now}
        posts: list[_Post] = []
        failed: StoreError | None = None
        for each in await self._store.tls_days(now.date()):
            if not self._is_due(each, now):
                continue
            try:
                posts += await self._send(each)
            except StoreBroken:
                raise
            except StoreError as error:
                failed = error
                break
        await self._post(posts)  # nobody else will
        if failed is not None:
            raise failed

    def _is_due(self, each: CountedDomain, now: datetime) -> bool:
        return (
            is_wanted(each, self._settings.send)
            and due_at(each.day, each.domain) <= now
            and (each.day, each.domain) not in self._rests
        )

    async def _send(self, each: CountedDomain) -> list[_Post]:
        """Queue the mails of one report; return where else it goes."""
        answer = await self._resolver.texts(f"_smtp._tls.{each.domain}")
        if isinstance(answer, DnsFailure):
            self._rests[each.day, each.domain] = self._clock.now() + _DNS_AGAIN
            return []
        to = read_receivers(answer.texts)
        facts = ReportFacts(
            day=each.day,
            domain=each.domain,
            submitter=self._settings.domain,
            contact=self._settings.contact,
            token=self._mails.new_token(),
            now=self._clock.now(),
        )
        counts = await self._store.tls_results(each.day, each.domain)
        report = packed(document(facts, counts))
        made = [await self._mails.message(box, compose(facts, box, report)) for box in to.boxes]
        messages = [message for message in made if message is not None]
        if not await self._store.file_tls_report(each.day, each.domain, messages):
            return []
        for message in messages:
            self._mails.filed(message)
        return [_Post(each.domain, url, report) for url in to.urls]

    async def _post(self, posts: list[_Post]) -> None:
        places = asyncio.Semaphore(_POSTED_AT_ONCE)

        async def post(each: _Post) -> None:
            async with places:
                why = await self._posts.post(each.url, each.report)
            if why:
                log.info("tls_report_not_taken", domain=each.domain, url=each.url, reason=why)

        await asyncio.gather(*map(post, posts))

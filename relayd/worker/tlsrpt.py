"""TLS reports for a worker: what it counts is added to the store, and what is due is sent."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import cache

import structlog

from relayd.deliverer.own_message import own_message
from relayd.deliverer.tally import TlsTally
from relayd.deliverer.tls_reports import TlsReports
from relayd.errors import StoreBroken, StoreError
from relayd.mail.address import Address
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import format_id
from relayd.mail.signing import NOT_SIGNED
from relayd.net.dns.resolver import DnsResolver
from relayd.net.https import verifying
from relayd.net.report_post import ReportPoster
from relayd.policy.tls.reporting import RESTS_FOR, ReportsSent, is_refused_report
from relayd.policy.tls.tlsrpt import MEDIA_TYPE
from relayd.ports.view import Query, Status
from relayd.settings import Settings
from relayd.worker.parts import Parts
from relayd.worker.web import web_addresses

_ADDED = 60.0  # seconds between two times: a crash loses no more
_BOUNCES = 100  # of an address, that are looked at
_LOOKED = 300.0  # seconds between two looks for reports whose time has come

log = structlog.get_logger()


def tally_of(settings: Settings, parts: Parts) -> TlsTally | None:
    """Return what counts TLS sessions; None: no reports."""
    return None if settings.tlsrpt.send is ReportsSent.OFF else TlsTally(parts.store.trust)


async def keep_counting(tally: TlsTally | None, parts: Parts) -> None:
    """Add what was counted to the store, a write a minute. Raises StoreBroken."""
    while tally is not None:
        await asyncio.sleep(_ADDED + parts.worker % 8)
        await tally.flush()


class ReportMails:
    """`relayd.deliverer.tls_reports.MailsReport`. `wake` is called when a mail was queued."""

    def __init__(self, settings: Settings, parts: Parts, wake: Callable[[], None]) -> None:
        self._settings = settings
        self._parts = parts
        self._wake = wake

    def new_token(self) -> str:
        return format_id(self._parts.ids.next_id(self._parts.clock.now())).lower()

    async def message(self, to: Address, composed: bytes) -> NewMessage | None:
        is_suppressed = self._parts.view.is_suppressed(str(to))
        if is_suppressed if isinstance(is_suppressed, bool) else await is_suppressed:
            return None
        now = self._parts.clock.now()
        if await self._parts.asking.ask(lambda: self._refused_one(to, now)):
            return None
        made = own_message(
            self._parts.ids.next_id(now),
            [to],
            composed,
            fqdn=self._settings.fqdn,
            routes=self._settings.routes,
            now=now,
            signer=self._parts.signer,
        )
        return None if made.unsigned or made.dkim in ("", NOT_SIGNED) else made

    def _refused_one(self, to: Address, now: datetime) -> bool:
        """Tell whether an address refused a report lately. Raises StoreError."""
        query = Query(recipient=(str(to),), status=(Status.BOUNCED,), since=now - RESTS_FOR)
        found = self._parts.view.find(query, limit=_BOUNCES)
        return any(is_refused_report(row.reverse_path, row.code) for row in found)

    def filed(self, message: NewMessage) -> None:
        self._parts.events.received(message)
        self._wake()


def tls_reports(
    settings: Settings, parts: Parts, resolver: DnsResolver, wake: Callable[[], None]
) -> TlsReports | None:
    """Return what sends reports; None: none are sent."""
    if settings.tlsrpt.send is ReportsSent.OFF or settings.tlsrpt.is_unsigned:
        return None
    posts = ReportPoster(
        resolver,
        media_type=MEDIA_TYPE,
        may_ask=web_addresses(settings),
        context=cache(verifying),
    )
    return TlsReports(
        settings.tlsrpt,
        parts.store.trust,
        resolver,
        clock=parts.clock,
        mails=ReportMails(settings, parts, wake),
        posts=posts,
    )


async def keep_reporting(reports: TlsReports | None, parts: Parts) -> None:
    """Send the reports of the days before, each by one worker. Raises StoreBroken."""
    while reports is not None:
        try:
            await reports.send_due()
        except StoreBroken:
            raise
        except StoreError as error:
            log.warning("tls_reports_delayed", fault="local", reason=str(error))
        await asyncio.sleep(_LOOKED + parts.worker % 8)

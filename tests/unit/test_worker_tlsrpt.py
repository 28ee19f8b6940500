"""What a worker does for TLS reports."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs

from relayd.deliverer.tally import TlsTally
from relayd.deliverer.tls_reports import TlsReports
from relayd.errors import StoreBroken, StoreError, StoreUnavailable
from relayd.net.dns.resolver import DnsResolver
from relayd.policy.tls.reporting import ReportsSent
from relayd.settings import TlsrptSettings
from relayd.store.memory.queue import MemoryStore
from relayd.worker import tlsrpt
from relayd.worker.parts import Parts
from tests.support.clock import FakeClock
from tests.support.post import eventually
from tests.support.supervised import settings_of
from tests.support.tls_counts import a_tls_session


async def test_what_is_counted_gets_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tlsrpt, "_ADDED", 0)
    store = MemoryStore(FakeClock())
    tally = TlsTally(store.trust)
    session = a_tls_session()
    async with asyncio.TaskGroup() as tasks:
        parts = cast(Parts, SimpleNamespace(worker=0))
        counting = tasks.create_task(tlsrpt.keep_counting(tally, parts))
        for times in (1, 2):
            tally.note(session)
            await eventually(lambda: store.view.trust.tls_counts() == {session: times})  # noqa: B023
        counting.cancel()


class Reports:
    """Fails as told, once for each."""

    def __init__(self, *errors: StoreError) -> None:
        self.errors = list(errors)
        self.rounds = 0

    async def send_due(self) -> None:
        self.rounds += 1
        if self.errors:
            raise self.errors.pop(0)


async def test_what_is_due_is_sent_later_when_the_store_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tlsrpt, "_LOOKED", 0)
    reports = Reports(StoreUnavailable("the disk is full"))
    with capture_logs() as told:
        async with asyncio.TaskGroup() as tasks:
            parts = cast(Parts, SimpleNamespace(worker=0))
            sending = tasks.create_task(tlsrpt.keep_reporting(cast(TlsReports, reports), parts))
            await eventually(lambda: reports.rounds > 1)
            sending.cancel()
    [line] = told
    assert (line["event"], line["reason"]) == ("tls_reports_delayed", "the disk is full")
    with pytest.raises(StoreBroken):
        await tlsrpt.keep_reporting(cast(TlsReports, Reports(StoreBroken("gone"))), parts)


SIGNED = TlsrptSettings(
    send=ReportsSent.FAILURES, contact="postmaster@relay.test", domain="relay.test"
)


@pytest.mark.parametrize(
    ("settings", "counts", "sends"),
    [
        (SIGNED, True, True),
        (replace(SIGNED, domain="", contact=""), True, False),  # what is counted can be looked at
        (replace(SIGNED, send=ReportsSent.OFF), False, False),
    ],
)
def test_who_counts_and_who_sends(settings: TlsrptSettings, *, counts: bool, sends: bool) -> None:
    whole = replace(settings_of([], control="", queue=""), tlsrpt=settings)
    parts = cast(Parts, SimpleNamespace(store=MemoryStore(FakeClock()), clock=FakeClock()))
    resolver = DnsResolver(nameservers=(), timeout=timedelta(seconds=1), clock=FakeClock())
    assert (tlsrpt.tally_of(whole, parts) is not None) is counts
    assert (tlsrpt.tls_reports(whole, parts, resolver, lambda: None) is not None) is sends

"""TLS reports: a day of sessions is told once, to those who want to know it, and no report is about reports.

The name server, the mail hosts and the web server are real; the clock stands still until it is told to move.

Source: RFC 8460.
"""

import asyncio
import email
import gzip
import json
import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trustme

from relayd.deliverer.tls_reports import TlsReports
from relayd.errors import StoreBroken, StoreUnavailable
from relayd.mail.suppression import ToSuppress
from relayd.net.report_post import ReportPoster
from relayd.policy.tls.reporting import ReportsSent
from relayd.policy.tls.tlsrpt import MEDIA_TYPE
from relayd.settings import DkimKeySettings, TlsMode, TlsrptSettings
from relayd.worker.asking import Asking
from relayd.worker.parts import IdSource, Parts
from relayd.worker.signing import DkimSigner
from relayd.worker.tlsrpt import ReportMails
from tests.support.certificates import Authority, shown_with
from tests.support.direct import A1, A2, DIRECT, FINE, Direct, a_direct_post, mx
from tests.support.dkim import records, rsa_pem, verified
from tests.support.dns_server import NODATA, SERVFAIL
from tests.support.https_server import HttpsServer, said
from tests.support.supervised import settings_of
from tests.support.tls_counts import a_tls_session
from tests.support.workers import a_registration

SHOWN, _ = shown_with(trustme.CA(), "mx1.x.test")  # by an authority that nobody knows
NIGHT = timedelta(hours=16, minutes=5)  # from noon to 04:05: all reports of the day are due
KEY = DkimKeySettings(domain="relay.test", selector="r", path="/k", required=False, pem=rsa_pem())
OURS = TlsrptSettings(
    send=ReportsSent.FAILURES, contact="postmaster@relay.test", domain="relay.test"
)
BY_MAIL = ['"v=TLSRPTv1; rua=mailto:tls@reports.test"']
BY_HTTPS = ['"v=TLSRPTv1; rua=https://web.test/tls,mailto:tls@reports.test"']


def zones(record: Any) -> Mapping[str, Any]:
    reports = {**mx(A2, domain="reports.test"), "web.test": {"A": ["127.0.0.1"]}}
    asked = {f"_smtp._tls.{domain}": {"TXT": record} for domain in ("x.test", "reports.test")}
    return {**mx(A1), **reports, **asked}


def a_post(record: Any) -> Any:
    tls: dict[str, Any] = {"tls": TlsMode.OPPORTUNISTIC, "shown": {A1: SHOWN}}
    return a_direct_post(cast(Any, zones(record)), {A1: FINE, A2: FINE}, **tls)


class Unasked:
    async def post(self, url: str, _: bytes) -> str:
        raise AssertionError(url)


def a_worker(
    direct: Direct,
    number: int = 7,
    *,
    settings: TlsrptSettings = OURS,
    posts: Any = None,
    signer: DkimSigner | None = None,
) -> TlsReports:
    """Return what sends the reports of one worker."""
    post = direct.post
    parts = SimpleNamespace(
        store=post.store,
        view=post.view,
        asking=Asking(),
        ids=IdSource(a_registration(number)),
        clock=post.clock,
        signer=signer or DkimSigner([KEY]),
        events=post.sink,
    )
    whole = replace(settings_of([], control="", queue=""), routes=DIRECT, tlsrpt=settings)
    return TlsReports(
        settings,
        post.store.trust,
        direct.parts.resolver,
        clock=post.clock,
        mails=ReportMails(whole, cast(Parts, parts), post.scheduler.wake),
        posts=posts or Unasked(),
    )


async def a_day(direct: Direct, *addresses: str) -> None:
    """Send mail, and add what was counted to the store."""
    for address in addresses or ("a@x.test",):
        message = await direct.send(address)
        await direct.post.settled(message)
    assert direct.parts.tally is not None
    await direct.parts.tally.flush()


def told(content: bytes) -> tuple[Message, dict[str, Any]]:
    """Return the mail, and the report in it."""
    found = email.message_from_bytes(content)
    [report] = [part for part in found.walk() if part.get_content_type() == MEDIA_TYPE]
    return found, json.loads(gzip.decompress(cast(bytes, report.get_payload(decode=True))))


async def test_a_day_is_told_once_whichever_worker_does_it() -> None:
    async with a_post(BY_MAIL) as direct:
        await a_day(direct, "a@x.test", "b@x.test", "c@x.test")
        assert direct.server(A1).connections == 1
        one, two = a_worker(direct, 7), a_worker(direct, 8)
        await one.send_due()
        direct.post.advance(timedelta(hours=12, minutes=5))
        await one.send_due()  # not before ten past midnight
        assert not direct.dns.count("_smtp._tls.x.test", "TXT")
        direct.post.advance(NIGHT - timedelta(hours=12, minutes=5))
        await asyncio.gather(one.send_due(), two.send_due())
        await direct.post.settled()
        await one.send_due()
        [mail] = direct.server(A2).messages
        assert mail.mail.startswith("FROM:<>")
        [row] = [row for row in direct.post.rows() if row.address == "tls@reports.test"]
        assert row.destination == "mx-lax:reports.test", "its policies are lifted"
        header, report = told(mail.content)
        assert (header["From"], header["To"]) == ("<postmaster@relay.test>", "<tls@reports.test>")
        assert header["TLS-Required"] == "No"
        assert verified(mail.content, records("relay.test", r=rsa_pem())) == [True]
        [policy] = report["policies"]
        assert policy["policy"] == {"policy-type": "no-policy-found", "policy-domain": "x.test"}
        assert policy["summary"]["total-failure-session-count"] == 1
        assert policy["failure-details"][0]["result-type"] == "certificate-not-trusted"
        assert not direct.post.view.trust.tls_counts()


async def test_there_is_no_report_about_reports() -> None:
    """Its session fails like all to a host without TLS. It goes by a way of its own, and is not counted."""
    async with a_post(BY_MAIL) as direct:
        worker = a_worker(direct)
        await a_day(direct)
        for _ in range(3):
            direct.post.advance(timedelta(days=1) + NIGHT)
            await worker.send_due()
            await direct.post.settled()
            assert direct.parts.tally is not None
            await direct.parts.tally.flush()
        assert len(direct.server(A2).messages) == 1
        assert not direct.post.view.trust.tls_counts()
    async with a_post(BY_MAIL) as direct:
        await a_day(direct, "anybody@reports.test")
        assert direct.post.view.trust.tls_counts(), "other mail to that host is counted"


async def test_a_report_is_posted_by_who_files_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(cafile=authority.cafile)
    tls = authority.server_context("web.test")
    async with a_post(BY_HTTPS) as direct, HttpsServer(tls, said(b"")) as server:
        posts = ReportPoster(
            direct.parts.resolver,
            media_type=MEDIA_TYPE,
            may_ask=lambda ip: ip.is_loopback,
            context=lambda: context,
            port=server.port,
        )
        await a_day(direct)
        direct.post.advance(NIGHT)
        workers = [a_worker(direct, number, posts=posts) for number in (7, 8)]
        await asyncio.gather(*(each.send_due() for each in workers))
        await direct.post.settled()
        [posted] = server.bodies
        [mail] = direct.server(A2).messages
        assert json.loads(gzip.decompress(posted)) == told(mail.content)[1]


@pytest.mark.parametrize(
    ("sends", "reports"), [(ReportsSent.FAILURES, 0), (ReportsSent.ALL, 1), (ReportsSent.OFF, 0)]
)
async def test_a_day_on_which_nothing_failed(sends: ReportsSent, reports: int) -> None:
    async with a_post(BY_MAIL) as direct:
        await a_day(direct)
        [session] = direct.post.view.trust.tls_counts()
        trust = direct.post.store.trust
        await trust.forget_tls_results(session.day + timedelta(days=1))
        await trust.add_tls_results({replace(session, result=""): 1})
        direct.post.advance(NIGHT)
        await a_worker(direct, settings=replace(OURS, send=sends)).send_due()
        await direct.post.settled()
        assert len(direct.server(A2).messages) == reports


async def test_a_lookup_that_fails_is_made_again_an_hour_later() -> None:
    async with a_post(SERVFAIL) as direct:
        await a_day(direct)
        direct.post.advance(NIGHT)
        worker = a_worker(direct)
        for _ in range(2):
            await worker.send_due()
        asked = direct.dns.count("_smtp._tls.x.test", "TXT")
        direct.post.advance(timedelta(hours=1))
        await worker.send_due()
        assert direct.dns.count("_smtp._tls.x.test", "TXT") == 2 * asked
        assert direct.post.view.trust.tls_counts(), "nothing is lost"


@pytest.mark.parametrize("why", ["nobody-asks", "suppressed", "unsigned"])
async def test_who_gets_none(why: str) -> None:
    """It is no longer kept then: the next night it would be the same."""
    async with a_post(NODATA if why == "nobody-asks" else BY_MAIL) as direct:
        await a_day(direct)
        direct.post.advance(NIGHT)
        signer = DkimSigner([KEY])
        if why == "suppressed":
            await direct.post.store.suppress([ToSuppress(address="tls@reports.test")], by="ann")
        if why == "unsigned":
            signer.note(KEY.name, "in the DNS is another key")
        await a_worker(direct, signer=signer).send_due()
        assert not direct.post.view.trust.tls_counts()
        assert len(direct.post.rows()) == 1, "the mail of the day alone"


@pytest.mark.parametrize(
    ("said", "reports"),
    [
        pytest.param("550 5.7.1 no reports here", [1, 1, 2], id="for-good"),
        pytest.param("450 4.2.1 later", [1, 2, 3], id="later"),
    ],
)
async def test_who_refused_one_gets_none_for_30_days(said: str, reports: list[int]) -> None:
    scripts = {A1: FINE, A2: {"RCPT": said}}
    async with a_direct_post(cast(Any, zones(BY_MAIL)), scripts) as direct:
        post, found = direct.post, []
        for days in (0, 0, 30):
            post.advance(timedelta(days=days))
            session = replace(a_tls_session(), day=post.clock.now().date())
            await post.store.trust.add_tls_results({session: 1})
            post.advance(timedelta(days=1) + NIGHT)
            await a_worker(direct).send_due()
            await post.settled()
            assert not post.view.trust.tls_counts()
            found.append(len(post.rows()))
        assert found == reports


@pytest.mark.parametrize("error", [StoreUnavailable, StoreBroken])
async def test_without_the_store_nothing_is_sent_and_nothing_lost(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async with a_post(BY_MAIL) as direct:
        await a_day(direct)
        direct.post.advance(NIGHT)

        async def fail(*_: object) -> bool:
            raise error("gone")

        worker = a_worker(direct)
        with monkeypatch.context() as patched:
            patched.setattr(worker._store, "file_tls_report", fail)
            with pytest.raises(error):
                await worker.send_due()
        await worker.send_due()
        await direct.post.settled()
        assert len(direct.server(A2).messages) == 1

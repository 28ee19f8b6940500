"""TLS reports go to web servers that anybody may have named: to public ones, three times at most."""

import ssl
from ipaddress import ip_address

import pytest

from relayd.mail.dns import Addresses
from relayd.net.report_post import ReportPoster
from tests.support.certificates import Authority, untrusted_context
from tests.support.https_server import HttpsServer, said

REPORT = b"\x1f\x8b octets"
URL = "https://reports.loc/v1/tls?of=us"
HERE = Addresses(ips=(ip_address("127.0.0.1"),))


class Here:
    def __init__(self, answer: Addresses) -> None:
        self._answer = answer

    async def addresses(self, host: str) -> Addresses:
        assert host == "reports.loc"
        return self._answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def a_poster(authority: Authority, port: int, answer: Addresses = HERE) -> ReportPoster:
    context = ssl.create_default_context(cafile=authority.cafile)
    return ReportPoster(
        Here(answer),
        media_type="application/tlsrpt+gzip",
        may_ask=lambda ip: ip.is_loopback,
        context=lambda: context,
        port=port,
        waits=(0, 0),
    )


@pytest.mark.parametrize("status", [200, 202])
async def test_a_report_is_taken(authority: Authority, status: int) -> None:
    tls = authority.server_context("reports.loc")
    async with HttpsServer(tls, said(b"", status=status)) as server:
        assert await a_poster(authority, server.port).post(URL, REPORT) == ""
    assert server.asked == ["POST /v1/tls?of=us HTTP/1.1"]
    assert server.bodies == [REPORT]
    assert "\r\nContent-Type: application/tlsrpt+gzip\r\n" in server.heads[0]


@pytest.mark.parametrize(
    ("status", "tries"), [(301, 3), (503, 3), (429, 3), (400, 1), (404, 1), (413, 1)]
)
async def test_how_often_it_is_tried(authority: Authority, status: int, tries: int) -> None:
    """No redirect is followed, and what is refused for good is not said again."""
    tls = authority.server_context("reports.loc")
    async with HttpsServer(tls, said(b"", status=status)) as server:
        why = await a_poster(authority, server.port).post(URL, REPORT)
    assert why == f"reports.loc answers {status}"
    assert server.bodies == [REPORT] * tries


async def test_a_later_try_counts(authority: Authority) -> None:
    async with HttpsServer(authority.server_context("reports.loc")) as server:
        poster = a_poster(authority, server.port)
        server.pieces = ()  # it hangs up without a word

        class Then(Here):
            async def addresses(self, host: str) -> Addresses:
                server.pieces = (said(b""),) if server.bodies else ()
                return await super().addresses(host)

        poster._resolver = Then(HERE)
        assert await poster.post(URL, REPORT) == ""
    assert len(server.bodies) == 2


async def test_a_certificate_has_to_prove_the_name(authority: Authority) -> None:
    async with HttpsServer(untrusted_context("reports.loc"), said(b"")) as server:
        assert "certificate" in await a_poster(authority, server.port).post(URL, REPORT)
    assert not server.bodies


@pytest.mark.parametrize("answer", [Addresses(), Addresses(ips=(ip_address("10.0.0.1"),))])
async def test_only_public_addresses_are_asked(authority: Authority, answer: Addresses) -> None:
    why = await a_poster(authority, 443, answer).post(URL, REPORT)
    assert why == "reports.loc has no public address"

"""MTA-STS policies come from a web server that may be anybody's: each way it behaves has its outcome."""

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from relayd.mail.dns import Addresses, DnsFailure
from relayd.net.https import HttpRequest, Unanswered, ask
from relayd.net.sts_fetch import StsFetcher
from relayd.policy.tls.sts import NoPolicy, StsFault, StsMode, StsPolicy
from tests.support.certificates import Authority, untrusted_context
from tests.support.https_server import HttpsServer, said

POLICY = b"version: STSv1\nmode: enforce\nmx: mail.loc\nmax_age: 86400"
GOOD = StsPolicy(mode=StsMode.ENFORCE, hosts=("mail.loc",), max_age=timedelta(days=1), id="7")
HERE = ip_address("127.0.0.1")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


class Here:
    """A resolver that knows one answer for all names."""

    def __init__(self, answer: Addresses) -> None:
        self._answer = answer
        self.asked: list[str] = []

    async def addresses(self, host: str) -> Addresses:
        self.asked.append(host)
        return self._answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority: Authority) -> ssl.SSLContext:
    return authority.server_context("mta-sts.good.loc")


async def fetched(
    authority: Authority,
    server: HttpsServer,
    *,
    within: float = 5.0,
    answer: Addresses | None = None,
    domain: str = "good.loc",
) -> StsPolicy | NoPolicy:
    context = ssl.create_default_context(cafile=authority.cafile)
    fetcher = StsFetcher(
        Here(answer or Addresses(ips=(HERE,))),
        may_ask=lambda ip: ip.is_loopback,
        context=lambda: context,
        port=server.port,
    )
    return await fetcher.fetch(domain, "7", within=within)


WHOLE = {
    "with a length": (said(POLICY),),
    "with a charset": (said(POLICY, kind="Text/Plain; charset=utf-8"),),
    "octet by octet": tuple(bytes([octet]) for octet in said(POLICY)),
    "chunked": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n4;x=y\r\nvers\r\n",
        b"%x \r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(POLICY) - 4, POLICY[4:]),
    ),
    "after interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        + said(POLICY),
    ),
    "and more after its end": (said(POLICY) + b"mx: evil.test\n",),
    "of the most octets": (said(POLICY + b"\n" * (65_536 - len(POLICY))),),
}


@pytest.mark.parametrize("pieces", WHOLE.values(), ids=WHOLE)
async def test_a_policy(
    authority: Authority, good: ssl.SSLContext, pieces: tuple[bytes, ...]
) -> None:
    """With a server that does not hang up, so that the answer says itself where it ends."""
    async with HttpsServer(good, *pieces, stays=True) as server:
        assert await fetched(authority, server) == GOOD
    assert server.asked == ["GET /.well-known/mta-sts.txt HTTP/1.1"]
    assert f"\r\nHost: mta-sts.good.loc:{server.port}\r\n" in server.heads[0]


FETCH, INVALID = StsFault.FETCH, StsFault.INVALID
HOSTILE = {
    "not there": ((said(POLICY, status=404),), FETCH, "it answers 404"),
    "a redirect": (
        (b"HTTP/1.1 301 X\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",),
        FETCH,
        "no redirect is followed",
    ),
    "created": ((said(POLICY, status=201),), FETCH, "it answers 201"),
    "partial": ((said(POLICY, status=206),), FETCH, "it answers 206"),
    "HTML": ((said(POLICY, kind="text/html"),), FETCH, "not text/plain"),
    "no type": ((b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",), FETCH, "not text/plain"),
    "a huge body": ((said(b"x" * 10_000_000),), FETCH, "more than 65536 octets"),
    "one octet too many": ((said(b"x" * 65_537),), FETCH, "more than 65536 octets"),
    "a huge body in chunks": (
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
            *(200 * (b"4000\r\n" + b"x" * 16384 + b"\r\n",)),
        ),
        FETCH,
        "more than 65536 octets",
    ),
    "a huge body without an end": ((HEAD + b"\r\n", b"x" * 10_000_000), FETCH, "more than 65536"),
    "a huge length": ((said(POLICY, length=10**30),), FETCH, "more than 65536 octets"),
    "a huge header": (
        (b"HTTP/1.1 200 OK\r\n", *(1000 * (b"A: " + b"b" * 10_000 + b"\r\n",))),
        FETCH,
        "header has more than 16384 octets",
    ),
    "only interim answers": (1000 * (b"HTTP/1.1 103 X\r\n\r\n",), FETCH, "no HTTP"),
    "a body that was cut": ((said(POLICY, length=len(POLICY) + 9),), FETCH, "in the middle"),
    "a body that ends with the connection": ((HEAD + b"\r\n" + POLICY,), FETCH, "cut it"),
    "a length that is none": ((said(POLICY, length=-5),), FETCH, "cut it"),
    "chunks that were cut": (
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(POLICY) + POLICY + b"\r\n",),
        FETCH,
        "in the middle",
    ),
    "a chunk of a length that is none": (
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-3\r\n" + POLICY,),
        FETCH,
        "no HTTP",
    ),
    "a chunk with too much in it": (
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n" + POLICY,),
        FETCH,
        "no HTTP",
    ),
    "a line of a chunk without an end": (
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;" + b"x" * 100_000,),
        FETCH,
        "no HTTP",
    ),
    "SMTP": ((b"220 mx.test ESMTP\r\n\r\n",), FETCH, "no HTTP"),
    "nothing": ((), FETCH, "in the middle"),
    "garbage": ((said(b"garbage"),), INVALID, "no field"),
}


@pytest.mark.parametrize(("pieces", "fault", "words"), HOSTILE.values(), ids=HOSTILE)
async def test_no_policy(
    authority: Authority,
    good: ssl.SSLContext,
    pieces: tuple[bytes, ...],
    fault: StsFault,
    words: str,
) -> None:
    async with HttpsServer(good, *pieces) as server:
        found = await fetched(authority, server)
    assert isinstance(found, NoPolicy)
    assert (found.fault, words in found.why) == (fault, True), found.why
    assert len(server.asked) == 1


@pytest.mark.parametrize("pieces", [(), (said(POLICY, length=9999),), (b"HTTP/1.1 200",)])
async def test_silence_has_an_end(
    authority: Authority, good: ssl.SSLContext, pieces: tuple[bytes, ...]
) -> None:
    async with HttpsServer(good, *pieces, stays=True) as server:
        found = await fetched(authority, server, within=0.3)
    assert isinstance(found, NoPolicy)
    assert (found.fault, "within 0.3 s" in found.why) == (FETCH, True)


async def test_small_pieces_cost_no_more_than_large_ones(
    authority: Authority, good: ssl.SSLContext
) -> None:
    """Each octet is looked at once: in chunks of two octets that look like an end."""
    chunks = b"2\r\n\r\n\r\n" * 8_000
    async with HttpsServer(
        good, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunks, b"0\r\n\r\n"
    ) as server:
        began = time.process_time()
        found = await fetched(authority, server, within=20)
        assert time.process_time() - began < 5.0
    assert isinstance(found, NoPolicy)
    assert found.fault is INVALID


async def test_certificates(authority: Authority) -> None:
    """bad-cert1, bad-cert2: nobody vouches for it, or it is of another name."""
    for context, words in (
        (untrusted_context("mta-sts.good.loc"), "does not prove the name"),
        (authority.server_context("good.loc", "www.good.loc"), "does not prove the name"),
        (authority.server_context("*.loc"), "does not prove the name"),
    ):
        async with HttpsServer(context, said(POLICY)) as server:
            found = await fetched(authority, server)
        assert isinstance(found, NoPolicy)
        assert (found.fault, words in found.why) == (StsFault.CERTIFICATE, True), found.why
        assert server.asked == []


async def test_an_expired_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority._authority.issue_cert(
        "mta-sts.good.loc", not_after=datetime(2020, 1, 2, tzinfo=UTC)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    async with HttpsServer(context, said(POLICY)) as server:
        found = await fetched(authority, server)
    assert isinstance(found, NoPolicy)
    assert (found.fault, "expired" in found.why) == (StsFault.CERTIFICATE, True)


async def test_only_vetted_addresses(authority: Authority, good: ssl.SSLContext) -> None:
    private, elsewhere = ip_address("10.0.0.1"), ip_address("127.0.0.2")
    async with HttpsServer(good, said(POLICY)) as server:
        found = await fetched(authority, server, answer=Addresses(ips=(private,)))
        assert isinstance(found, NoPolicy)
        assert found.why.endswith("mta-sts.good.loc has no public address")
        # Nobody listens at the second one: the third is asked.
        answer = Addresses(ips=(private, elsewhere, HERE))
        assert await fetched(authority, server, answer=answer) == GOOD
    assert len(server.asked) == 1


async def test_no_address(authority: Authority, good: ssl.SSLContext) -> None:
    failure = DnsFailure(reason="10.0.0.1 answers SERVFAIL to A mta-sts.good.loc")
    async with HttpsServer(good, said(POLICY)) as server:
        found = await fetched(authority, server, answer=Addresses(failures=(failure,)))
        assert isinstance(found, NoPolicy)
        assert "SERVFAIL" in found.why
        found = await fetched(authority, server, answer=Addresses())
        assert isinstance(found, NoPolicy)
        assert "has no address" in found.why
    assert server.asked == []


async def test_slow_names_have_an_end_too() -> None:
    class Never:
        async def addresses(self, _host: str) -> Addresses:
            return await asyncio.Future()

    fetcher = StsFetcher(Never(), may_ask=lambda _: True, context=ssl.create_default_context)
    found = await fetcher.fetch("good.loc", "7", within=0.05)
    assert found == NoPolicy(
        "the MTA-STS policy cannot be fetched: mta-sts.good.loc does not answer within 0.05 s",
        FETCH,
    )


async def test_octets_are_posted(authority: Authority, good: ssl.SSLContext) -> None:
    context = ssl.create_default_context(cafile=authority.cafile)
    async with HttpsServer(good, said(b"")) as server:
        request = HttpRequest(
            url=f"https://mta-sts.good.loc:{server.port}/v1?x=y",
            body=b"\x1f\x8b",
            content_type="application/tlsrpt+gzip",
        )
        answer = await ask(request, tls=context, ips=("127.0.0.2", "127.0.0.1"))
        assert (answer.status, answer.body, answer.has_end) == (200, b"", True)
        with pytest.raises(Unanswered):
            await ask(request, tls=context, ips=("127.0.0.2",))
    assert server.asked == ["POST /v1?x=y HTTP/1.1"]
    assert server.bodies == [b"\x1f\x8b"]
    assert "Content-Type: application/tlsrpt+gzip" in server.heads[0]

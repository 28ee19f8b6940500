"""A form and its answer: nobody waits for ever, reads too much, or gives a secret to another server."""

import asyncio
import ssl
from pathlib import Path

import pytest

from relayd.net.https import Unanswered, post
from tests.support.certificates import Authority, untrusted_context
from tests.support.https_server import STALL
from tests.support.ports import free_port
from tests.support.token_server import TokenServer, answer

FORM = {"grant_type": "x", "client_secret": "hunter2 & more"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.cafile)


ANSWERS = {
    "with a length": answer(b'{"a": 1}'),
    "chunked": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n',
    "until it closes": b'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{"a": 1}',
    "after a 100": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b'{"a": 1}'),
}


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer(authority: Authority, said: bytes) -> None:
    async with TokenServer(authority.server_context("127.0.0.1"), [said]) as server:
        found = await post(f"{server.url}?x=1", FORM, tls=trusting(authority))
    assert (found.status, found.content_type, found.body) == (200, "application/json", b'{"a": 1}')
    assert server.forms == [FORM]
    assert server.paths == ["/token?x=1"]


async def test_no_redirect_is_followed(authority: Authority) -> None:
    said = b"HTTP/1.1 307 Elsewhere\r\nLocation: https://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n"
    async with TokenServer(authority.server_context("127.0.0.1"), [said]) as server:
        found = await post(server.url, FORM, tls=trusting(authority))
    assert (found.status, len(server.forms)) == (307, 1)


NONE = {
    "stalls": (STALL, "no answer within 0.5 s"),
    "hangs up": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "in the middle of its answer"),
    "says nothing": (b"\r\n", "no HTTP"),
    "speaks SMTP": (b"220 mx.test ESMTP\r\n\r\n", "no HTTP"),
    "lies": (answer(b"", length=-1), None),
    "huge": (answer(b"x" * 200_000), "more than 65536 octets"),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n", "no HTTP"),
    "a huge header": (
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000,
        "header has more than 16384 octets",
    ),
    "a broken chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "",
    ),
}


@pytest.mark.parametrize(("said", "words"), NONE.values(), ids=NONE)
async def test_no_answer(authority: Authority, said: bytes, words: str | None) -> None:
    async with TokenServer(authority.server_context("127.0.0.1"), [said]) as server:
        if words is None:  # a length that is none counts as no length
            assert (await post(server.url, FORM, tls=trusting(authority))).body == b""
            return
        with pytest.raises(Unanswered) as caught:
            await post(server.url, FORM, tls=trusting(authority), within=0.5)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_nobody_vouches_for_gets_no_form(authority: Authority) -> None:
    async with TokenServer(untrusted_context("127.0.0.1"), [answer(b"{}")]) as server:
        with pytest.raises(Unanswered, match="its certificate does not prove the name"):
            await post(server.url, FORM, tls=trusting(authority))
        assert server.forms == []


async def test_a_server_of_another_name_gets_no_form(authority: Authority) -> None:
    async with TokenServer(authority.server_context("elsewhere.test"), [answer(b"{}")]) as server:
        with pytest.raises(Unanswered, match="its certificate does not prove the name"):
            await post(server.url, FORM, tls=trusting(authority))
        assert server.forms == []


async def test_nobody_is_there(authority: Authority) -> None:
    with pytest.raises(Unanswered, match="connect"):
        await post(f"https://127.0.0.1:{free_port()}/", FORM, tls=trusting(authority))
    with pytest.raises(Unanswered, match=r"nobody\.invalid"):
        await post("https://nobody.invalid/", FORM, tls=trusting(authority))


async def test_a_server_without_tls(authority: Authority) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.test ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unanswered, match="no TLS"):
            await post(f"https://127.0.0.1:{port}/", FORM, tls=trusting(authority))

"""TLS, the PROXY protocol and XCLIENT on a listener, over real sockets and on both loops."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.receiver import listener, wire
from relayd.receiver.tls import ServerTls
from relayd.settings import ListenerAuth, ListenerTls
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.receiving import Options, Reception, on_every_loop, receiving, run_on, until

MESSAGE = b"Subject: x\r\n\r\n..dots\r\nbody\r\n.\r\n"
ENVELOPE = ("MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>", "DATA")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def options(authority: Authority, tmp_path: Path, tls: ListenerTls) -> Options:
    return Options(tls=tls, certificate=authority.write_pair(tmp_path, "relay.test"))


class TlsClient:
    """A client of the standard library's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def reply(self) -> list[str]:
        lines = [await self._line()]
        while lines[-1][3] == "-":
            lines.append(await self._line())
        return lines

    async def _line(self) -> str:
        async with asyncio.timeout(5):
            line = await self.reader.readuntil(b"\r\n")
        return line[:-2].decode()

    async def ask(self, command: str) -> str:
        return (await self.ask_all(command))[-1]

    async def ask_all(self, command: str) -> list[str]:
        self.writer.write(f"{command}\r\n".encode())
        return await self.reply()

    async def start_tls(self, authority: Authority) -> None:
        assert (await self.ask("STARTTLS")).startswith("220 2.0.0 ")
        async with asyncio.timeout(5):
            await self.writer.start_tls(trusting(authority), server_hostname="relay.test")

    async def send(self, message: bytes = MESSAGE) -> str:
        for command in ENVELOPE:
            assert (await self.ask(command))[0] in "23", command
        self.writer.write(message)
        return (await self.reply())[-1]


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.cafile)


@asynccontextmanager
async def connected(
    reception: Reception, authority: Authority | None = None, *, first: bytes = b""
) -> AsyncIterator[TlsClient]:
    """A client in clear text, or over TLS from the start; `first` goes out before anything else."""
    sock = socket.create_connection(reception.address)
    sock.sendall(first)
    sock.settimeout(0)
    context = None if authority is None else trusting(authority)
    name = None if authority is None else "relay.test"
    async with asyncio.timeout(5):
        streams = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=name)
    client = TlsClient(*streams)
    try:
        yield client
    finally:
        client.writer.transport.abort()


@on_every_loop
def test_starttls_begins_anew(authority: Authority, tmp_path: Path, loop: str) -> None:
    """RFC 3207 section 4.2: what was said before is forgotten, and TLS is offered once (S-44)."""

    async def main() -> None:
        settings = options(authority, tmp_path, ListenerTls.STARTTLS)
        async with receiving(settings) as reception, connected(reception) as client:
            await client.reply()
            assert "250 STARTTLS" in await client.ask_all("EHLO app.test")
            assert (await client.ask("STARTTLS now")).startswith("501 5.5.4 ")
            await client.start_tls(authority)
            assert (await client.ask(ENVELOPE[0])).startswith("503 5.5.1 ")
            assert not any("STARTTLS" in line for line in await client.ask_all("EHLO app.test"))
            assert (await client.ask("STARTTLS")).startswith("503 5.5.1 ")
            assert (await client.send()).startswith("250 2.0.0 OK queued")
            [message] = reception.intake.messages
            assert message.content[:].endswith(b"Subject: x\r\n\r\n.dots\r\nbody\r\n")
            assert b"(relayd) with ESMTPS id" in message.content[:]

    run_on(loop, main())


@on_every_loop
def test_implicit_tls(authority: Authority, tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        settings = replace(
            options(authority, tmp_path, ListenerTls.IMPLICIT), message_size=10_000_000
        )
        large = b"Subject: x\r\n\r\n" + b"line\r\n" * 1_000_000
        async with receiving(settings) as reception, connected(reception, authority) as client:
            await client.reply()
            assert not any("STARTTLS" in line for line in await client.ask_all("EHLO app.test"))
            for content in (MESSAGE[:-3], large):
                assert (await client.send(content + b".\r\n")).startswith("250 2.0.0 ")
            assert reception.intake.messages[1].content[:].endswith(large)

    run_on(loop, main())


@on_every_loop
def test_nothing_is_smuggled_in_front_of_tls(
    authority: Authority, tmp_path: Path, loop: str
) -> None:
    """A-22: commands behind STARTTLS are never carried out inside TLS."""

    async def main() -> None:
        settings = options(authority, tmp_path, ListenerTls.STARTTLS)
        async with receiving(settings) as reception:
            client = await reception.greeted()
            await client.send(b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\n")
            assert await client.line() == "554 5.5.0 Command pipelined before its turn"
            await client.closed()
            async with connected(reception) as late:
                await late.reply()
                await late.ask("EHLO app.test")
                assert (await late.ask("STARTTLS")).startswith("220 ")
                late.writer.write(b"MAIL FROM:<evil@x.test>\r\n")  # no handshake: the end
                async with asyncio.timeout(5):
                    assert b"250" not in await late.reader.read()
            await until(lambda: not reception.receiver._sessions)

    run_on(loop, main())


def test_not_inside_a_transaction(authority: Authority, tmp_path: Path) -> None:
    async def main() -> None:
        settings = options(authority, tmp_path, ListenerTls.STARTTLS)
        async with receiving(settings) as reception:
            client = await reception.greeted()
            await client.ask(ENVELOPE[0])
            assert (await client.ask("STARTTLS")).startswith("503 5.5.1 ")

    run_on("asyncio", main())


@on_every_loop
@pytest.mark.parametrize("tls", [ListenerTls.STARTTLS, ListenerTls.IMPLICIT])
def test_a_handshake_has_its_time(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tls: ListenerTls,
    loop: str,
) -> None:
    """A-10: a client that does not shake hands loses its place."""
    for module in (wire, listener):
        monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.1)

    async def main() -> None:
        async with receiving(options(authority, tmp_path, tls)) as reception:
            if tls is ListenerTls.STARTTLS:
                client = await reception.greeted()
                assert (await client.ask("STARTTLS")).startswith("220 ")
            else:
                client = await reception.connect()
                await until(lambda: reception.receiver._sessions)
            await until(lambda: not reception.receiver._sessions)
            await client.gone()

    run_on(loop, main())


@on_every_loop
@pytest.mark.parametrize("tls", [ListenerTls.STARTTLS, ListenerTls.IMPLICIT])
def test_a_handshake_that_hangs_makes_way(
    authority: Authority, tmp_path: Path, tls: ListenerTls, loop: str
) -> None:
    """A-10: it keeps nobody out until its time is over."""

    async def main() -> None:
        settings = replace(options(authority, tmp_path, tls), connections=1)
        async with receiving(settings) as reception:
            hanging = await reception.connect(source="127.0.0.9")
            if tls is ListenerTls.STARTTLS:
                await hanging.line()
                await hanging.ask("EHLO app.test")
                assert (await hanging.ask("STARTTLS")).startswith("220 ")
                (session,) = reception.receiver._sessions
                await until(lambda: session._is_shaking_hands)
            else:
                await until(lambda: reception.receiver._arriving)
            over = authority if tls is ListenerTls.IMPLICIT else None
            async with connected(reception, over) as client:
                await client.reply()
                await client.ask("EHLO app.test")
                assert (await client.send()).startswith("250 2.0.0 ")
            assert await hanging.gone() == b""

    run_on(loop, main())


@on_every_loop
@pytest.mark.parametrize("tls", [ListenerTls.STARTTLS, ListenerTls.IMPLICIT])
def test_a_handshake_does_not_hold_up_a_stop(
    authority: Authority, tmp_path: Path, tls: ListenerTls, loop: str
) -> None:
    async def main() -> None:
        async with receiving(options(authority, tmp_path, tls)) as reception:
            if tls is ListenerTls.STARTTLS:
                client = await reception.greeted()
                assert (await client.ask("STARTTLS")).startswith("220 ")
            else:
                await reception.connect()
                await until(lambda: reception.receiver._sessions)
            async with asyncio.timeout(2):
                await reception.receiver.stop(within=0.05)

    run_on(loop, main())


def test_old_tls_is_refused(authority: Authority, tmp_path: Path) -> None:
    """RFC 8996."""

    async def main() -> None:
        settings = options(authority, tmp_path, ListenerTls.IMPLICIT)
        async with receiving(settings) as reception:
            context = trusting(authority)
            with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
                context.minimum_version = ssl.TLSVersion.TLSv1_1
            with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(
                    *reception.address, ssl=context, server_hostname="relay.test"
                )
            await until(lambda: not reception.receiver._sessions)

    run_on("asyncio", main())


@on_every_loop
def test_the_end_of_the_input_behind_the_dot(
    authority: Authority, tmp_path: Path, loop: str
) -> None:
    """F-28: the message is one row; TLS knows no half-open connection, so the reply may be lost."""

    async def main() -> None:
        settings = options(authority, tmp_path, ListenerTls.IMPLICIT)
        async with receiving(settings) as reception, connected(reception, authority) as client:
            reception.intake.is_slow = True
            await client.reply()
            await client.ask("EHLO app.test")
            for command in ENVELOPE:
                await client.ask(command)
            client.writer.write(MESSAGE)
            await until(lambda: reception.intake.messages)
            client.writer.close()
            reception.intake.commit()
            await until(lambda: not reception.receiver._sessions)
            assert len(reception.intake.messages) == 1

    run_on(loop, main())


HEADERS = [
    pytest.param(b"PROXY TCP4 127.0.0.9 127.0.0.1 5000 25\r\n", "127.0.0.9", id="v1"),
    pytest.param(b"PROXY TCP6 ::1 ::1 5000 25\r\n", "IPv6:::1", id="v1-tcp6"),
    pytest.param(
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x09\x7f\x00\x00\x01\x13\x88\x00\x19",
        "127.0.0.9",
        id="v2",
    ),
]


@on_every_loop
@pytest.mark.parametrize("tls", [ListenerTls.OFF, ListenerTls.IMPLICIT])
@pytest.mark.parametrize(("header", "client_ip"), HEADERS)
def test_a_proxy_says_who_the_client_is(
    authority: Authority, tmp_path: Path, tls: ListenerTls, header: bytes, client_ip: str, loop: str
) -> None:
    """Also in front of implicit TLS (HD-19, HU-01)."""

    async def main() -> None:
        settings = replace(
            options(authority, tmp_path, tls),
            networks=("127.0.0.0/8", "::1/128"),
            proxy_networks=("127.0.0.0/8",),
        )
        over = None if tls is ListenerTls.OFF else authority
        async with (
            receiving(settings) as reception,
            connected(reception, over, first=header) as client,
        ):
            await client.reply()
            await client.ask("EHLO app.test")
            assert (await client.send()).startswith("250 2.0.0 ")
            [message] = reception.intake.messages
            assert message.client.ip == client_ip.removeprefix("IPv6:")
            assert f"([{client_ip}])".encode() in message.content[:]

    run_on(loop, main())


@on_every_loop
def test_without_its_header_a_proxy_is_turned_away(
    monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(listener, "_PROXY_TIMEOUT", 0.1)

    async def main() -> None:
        async with receiving(Options(proxy_networks=("127.0.0.0/8",))) as reception:
            for words in (b"EHLO app.test\r\n", b"PROXY TCP4 127.0.0.9"):
                client = await reception.connect()
                await client.send(words)
                assert await client.line() == "421 4.7.0 PROXY header expected"
                await client.gone()

    run_on(loop, main())


@on_every_loop
def test_whose_header_comes_in_a_stop_is_told_so(loop: str) -> None:
    """F-22: it is no reason to wait, nor to be cut off in the middle of something."""

    async def main() -> None:
        async with receiving(Options(proxy_networks=("127.0.0.9/32",))) as reception:
            busy = await reception.greeted()
            for command in ENVELOPE:
                await busy.ask(command)
            late = await reception.connect(source="127.0.0.9")
            await until(lambda: len(reception.receiver._running) == 1)
            stopping = reception.tasks.create_task(reception.receiver.stop(within=5))
            await until(lambda: not reception.receiver._acceptor.is_open)
            await late.send(b"PROXY TCP4 127.0.0.8 127.0.0.1 5000 25\r\n")
            assert (await late.line()).startswith("421 4.3.2 ")
            await busy.send(MESSAGE)
            assert (await busy.line()).startswith("250 2.0.0 ")
            await stopping

    run_on(loop, main())


@on_every_loop
def test_a_header_may_come_octet_by_octet(loop: str) -> None:
    async def main() -> None:
        settings = Options(proxy_networks=("127.0.0.0/8",), networks=("127.0.0.9/32",))
        async with receiving(settings) as reception:
            client = await reception.connect()
            for octet in b"PROXY TCP4 127.0.0.9 127.0.0.1 5000 25\r\n":
                await client.send(bytes([octet]))
            assert (await client.line()).startswith("220 ")
            assert (await client.ask("EHLO app.test")).startswith("250 ")
            for command in ENVELOPE[:2]:
                assert (await client.ask(command)).startswith("250 ")

    run_on(loop, main())


@on_every_loop
def test_xclient_makes_another_client_of_it(loop: str) -> None:
    """What may relay goes by the client's address from then on, and hello is due again."""

    async def main() -> None:
        settings = Options(xclient_networks=("127.0.0.1/32",))
        async with receiving(settings) as reception:
            client = await reception.greeted(None)
            await client.send(b"EHLO app.test\r\n")
            assert "250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN" in await client.reply()
            assert (await client.ask("XCLIENT ADDR=a+0Db")).startswith("501 5.5.4 ")
            assert (await client.ask(ENVELOPE[0])).startswith("250 ")
            assert (await client.ask("XCLIENT ADDR=192.0.2.7")).startswith("503 5.5.1 ")
            await client.ask("RSET")
            assert (await client.ask("XCLIENT ADDR=192.0.2.7 HELO=far.test")).startswith("220 ")
            assert (await client.ask("EHLO far.test")).startswith("250 ")
            assert (await client.ask(ENVELOPE[0])).startswith("250 ")
            assert (await client.ask(ENVELOPE[1])).startswith("550 5.7.1 ")
            places = reception.receiver._admission.places
            assert (places.held_by("192.0.2.7"), places.held_by("127.0.0.1")) == (1, 0)

    run_on(loop, main())


@on_every_loop
@pytest.mark.parametrize("address", ["127.0.0.8", "127.0.0.1", "192.0.2.7", "[UNAVAILABLE]"])
def test_xclient_is_said_once(address: str, loop: str) -> None:
    """Whoever speaks behind it is the client: also one that is itself where proxies are."""

    async def main() -> None:
        settings = Options(xclient_networks=("127.0.0.0/8",), networks=("127.0.0.9/32",))
        async with receiving(settings) as reception:
            client = await reception.greeted()
            assert (await client.ask(f"XCLIENT ADDR={address}")).startswith("220 ")
            await client.send(b"EHLO far.test\r\n")
            assert not any("XCLIENT" in line for line in await client.reply())
            for again in ("ADDR=127.0.0.9", "LOGIN=app", "ADDR=[UNAVAILABLE]", "ADDR=a+0Db"):
                assert (await client.ask(f"XCLIENT {again}")).startswith("550 5.7.1 ")
            await client.ask(ENVELOPE[0])
            assert (await client.ask(ENVELOPE[1])).startswith("550 5.7.1 ")

    run_on(loop, main())


@on_every_loop
def test_a_name_that_ehlo_would_take_is_taken_from_a_proxy(loop: str) -> None:
    """A-25: it is what the proxy's client said, and goes into the trace."""

    async def main() -> None:
        async with receiving(Options(xclient_networks=("127.0.0.1/32",))) as reception:
            for name in ("far.test", "x+20by+20evil", "KM_123(1)", "b+C3+BCro-pc"):
                client = await reception.greeted(None)
                assert (await client.ask(f"XCLIENT ADDR=127.0.0.8 HELO={name}")).startswith("220 ")
                assert (await client.ask(ENVELOPE[0])).startswith("250 ")
            for name in ("x+0D+0Aevil", "x" * 256):
                client = await reception.greeted(None)
                assert (await client.ask(f"XCLIENT ADDR=127.0.0.8 HELO={name}")).startswith("501 ")

    run_on(loop, main())


UNKNOWN = [
    pytest.param("", "XCLIENT ADDR=[UNAVAILABLE]", id="xclient-unavailable"),
    pytest.param("", "XCLIENT HELO=far.test", id="xclient-without-an-address"),
    pytest.param("PROXY UNKNOWN\r\n", "", id="v1-unknown"),
    pytest.param("PROXY UNKNOWN 127.0.0.9 127.0.0.1 5000 25\r\n", "", id="v1-unknown-more"),
    pytest.param("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "", id="v2-local"),
    pytest.param("\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", "", id="v2-unspecified"),
    pytest.param("\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" + "\0" * 216, "", id="v2-unix"),
]


@on_every_loop
@pytest.mark.parametrize(("header", "xclient"), UNKNOWN)
def test_a_client_that_its_proxy_does_not_know_is_a_stranger(
    header: str, xclient: str, loop: str
) -> None:
    """S-28: of what the proxy may it may nothing, though it is greeted, as the proxy's own probes are."""

    async def main() -> None:
        settings = Options(
            auth=ListenerAuth.OPTIONAL,
            proxy_networks=("127.0.0.1/32",) if header else (),
            xclient_networks=("127.0.0.0/8",),
        )
        async with receiving(settings) as reception:
            client = await reception.connect()
            if header:
                await client.send(header.encode("latin-1"))
            assert (await client.line()).startswith("220 ")
            if xclient:
                assert (await client.ask(xclient)).startswith("220 ")
            await client.send(b"EHLO far.test\r\n")
            assert not {"XCLIENT", "AUTH"} & {line[4:].split()[0] for line in await client.reply()}
            assert (await client.ask("AUTH PLAIN")).startswith("538 5.7.11 ")
            assert (await client.ask("XCLIENT ADDR=127.0.0.1")).startswith("550 5.7.1 ")
            assert (await client.ask(ENVELOPE[0])).startswith("250 ")
            assert (await client.ask(ENVELOPE[1])).startswith("550 5.7.1 ")
            places = reception.receiver._admission.places
            assert (places.held_by("127.0.0.1"), places.held_by("behind 127.0.0.1")) == (0, 1)
            assert places.strangers == 1

    run_on(loop, main())


def test_a_renewed_certificate_is_taken_into_use(authority: Authority, tmp_path: Path) -> None:
    """A-74; a pair that does not fit leaves the old one in use."""
    clock = FakeClock()
    pair = authority.write_pair(tmp_path, "relay.test")
    tls = ServerTls(pair, clock)
    first = tls.context()
    assert tls.context() is first
    authority.write_pair(tmp_path, "relay.test")
    assert tls.context() is first  # it looks now and then only
    clock.advance(timedelta(seconds=31))
    second = tls.context()
    assert second is not first
    Path(pair.key).write_text("no key")
    clock.advance(timedelta(seconds=31))
    assert tls.context() is second
    Path(pair.key).unlink()
    clock.advance(timedelta(seconds=31))
    assert tls.context() is second

"""The end-of-data matrix against whole sessions: in clear text and TLS, in every form it can arrive.

What was smuggled would show as a second message, or as an answer too many.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from relayd.settings import CertificateSettings, LineEndings, ListenerTls
from tests.support.certificates import Authority
from tests.support.end_of_data import BEHIND, ENDS, HEAD, MIDDLE, SMUGGLED, TAIL
from tests.support.receiving import Options, Reception, on_every_loop, receiving, run_on

CEILING = 5.0
ENVELOPE = b"EHLO app.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n"
REJECT, NORMALIZE = LineEndings.REJECT, LineEndings.NORMALIZE


def forms(wire: bytes, around: bytes) -> Iterator[list[bytes]]:
    """In one segment, byte by byte, and cut in two at every place in and beside `around`."""
    yield [wire]
    yield [wire[at : at + 1] for at in range(len(wire))]
    start = wire.index(around)
    for cut in range(max(start - 2, 1), min(start + len(around) + 3, len(wire))):
        yield [wire[:cut], wire[cut:]]


@dataclass(frozen=True, slots=True)
class Secure:
    """What both sides of TLS have."""

    certificate: CertificateSettings
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Secure:
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder)
    return Secure(
        authority.write_pair(folder, "relay.test"),
        ssl.create_default_context(cafile=authority.cafile),
    )


@asynccontextmanager
async def connected(
    reception: Reception, context: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(
        *reception.address, ssl=context, server_hostname=None if context is None else "relay.test"
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def converse(
    reception: Reception, context: ssl.SSLContext | None, pieces: Sequence[bytes]
) -> list[bytes]:
    """Say hello and begin a message, send `pieces`, and read to the end; return the codes behind 354."""
    async with connected(reception, context) as (reader, writer), asyncio.timeout(CEILING):
        await reader.readuntil(b"\r\n")
        for command in ENVELOPE.splitlines(keepends=True):
            writer.write(command)
            while (await reader.readuntil(b"\r\n"))[3:4] == b"-":
                pass
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            told = await reader.read()
        except ConnectionError:
            return []
        return [line[:3] for line in told.split(b"\r\n") if line]


@on_every_loop
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("line_endings", LineEndings)
@pytest.mark.parametrize(("sequence", "normalized", "clean"), [*MIDDLE, *ENDS])
def test_nothing_is_smuggled(
    secure: Secure,
    sequence: bytes,
    normalized: bytes,
    clean: bool,  # noqa: FBT001
    line_endings: LineEndings,
    is_secure: bool,  # noqa: FBT001
    loop: str,
) -> None:
    """One message at the most, with its own answer; behind an end that is one, what follows is commands."""
    ends = sequence in [row.values[0] for row in ENDS]
    if ends:
        wire, content = HEAD + sequence + BEHIND, HEAD + normalized
    else:
        wire = HEAD + sequence + SMUGGLED + TAIL + b".\r\n" + BEHIND
        content = HEAD + normalized + SMUGGLED + TAIL
    is_taken = clean or line_endings is NORMALIZE
    options = Options(
        line_endings=line_endings,
        tls=ListenerTls.IMPLICIT if is_secure else ListenerTls.OFF,
        certificate=secure.certificate if is_secure else None,
    )

    async def main() -> None:
        async with receiving(options) as reception:
            for count, pieces in enumerate(forms(wire, sequence), 1):
                codes = await converse(reception, secure.context if is_secure else None, pieces)
                taken = reception.intake.messages
                if is_taken:
                    assert codes == [b"250", b"221"], pieces
                    assert len(taken) == count, pieces
                    assert taken[-1].content[:].partition(b"+0000\r\n")[2] == content, pieces
                else:
                    assert codes in ([b"550"], []), (
                        pieces
                    )  # the rest unread, the end may be a reset
                    assert taken == [], pieces

    run_on(loop, main())


@on_every_loop
def test_no_answer_waits_for_the_acknowledgement_of_another(loop: str) -> None:
    """TCP_NODELAY, on a socket that came from a listener made without naming the protocol."""

    async def main() -> None:
        async with receiving() as reception, connected(reception, None) as (reader, _):
            await reader.readuntil(b"\r\n")
            [session] = reception.receiver._sessions
            assert session._wire is not None
            connection = session._wire.get_extra_info("socket")
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run_on(loop, main())

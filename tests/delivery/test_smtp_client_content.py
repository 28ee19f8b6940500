"""Content on the wire: bytes in, the same bytes out."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.net.smtp.client import Timers
from relayd.net.smtp.protocol import RelayProtocol
from relayd.net.smtp.stuffing import stuffed_blocks
from tests.support.next_hop import PATIENT, all_seen, connected, deliver
from tests.support.scripted_server import (
    CLOSE,
    RESET,
    SWALLOW,
    Action,
    Drip,
    InBody,
    ScriptedServer,
)

BIG = b"Subject: big\r\n\r\n" + (b"." * 70 + b"\r\n" + b"x" * 60 + b"\r\n") * 60_000  # 8 MB
TOO_BIG = BIG * 4  # more than the system keeps for a server that does not read


def unstuff(wire: bytes) -> bytes:
    """The slow reference: line by line, by the words of RFC 5321 §4.5.2."""
    *lines, nothing = wire.split(b"\r\n")
    assert nothing == b""
    assert lines.pop() == b"."
    assert b"." not in lines, "a lone dot before the end"
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


pieces = st.lists(
    st.sampled_from([b"\r\n", b".", b"x", b"..", b"\r\n.", b"\r\n.\r\n"]), max_size=30
)


@settings(max_examples=300)
@given(content=pieces.map(b"".join), block=st.integers(3, 12))
def test_stuffing_is_undone_by_unstuffing(content: bytes, block: int) -> None:
    """Exactly one dot is added where it must be, wherever the blocks are cut (S-32)."""
    blocks = list(stuffed_blocks(content, block))
    assert [has_dot for _, has_dot in blocks] == [False] * (len(blocks) - 1) + [True]
    complete = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert unstuff(b"".join(octets for octets, _ in blocks)) == complete


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b".\r\n", id="lone-dot"),
        pytest.param(b"a\r\n.\r\n..\r\n.b\r\n", id="dots"),
        pytest.param(b"a\r\n\xff\x80\x0b.\x0b\t \r\n", id="other-bytes"),
        pytest.param(b"x" * 70_000 + b"\r\n." + b"y" * 70_000 + b"\r\n", id="long-lines"),
        pytest.param(BIG, id="big"),
    ],
)
async def test_the_next_hop_gets_the_same_bytes(content: bytes) -> None:
    """S-23, S-31 to S-33."""
    async with ScriptedServer() as server, connected(server) as connection:
        assert all_seen(await deliver(connection, content=content)) == [("dot", 250)]
        assert server.messages[0].content == content


async def test_a_missing_line_end_is_added() -> None:
    async with ScriptedServer() as server, connected(server) as connection:
        await deliver(connection, content=b"no line end")
        assert server.messages[0].content == b"no line end\r\n"
        assert "SIZE=13" in server.messages[0].mail


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(InBody(70_000, "550 5.7.1 spam"), ("data", 550), id="550-then-deaf"),
        pytest.param(
            InBody(70_000, Drip("550 no", 0.05)), ("data", 550), id="550-to-a-full-window"
        ),
        pytest.param(InBody(70_000, "451 4.3.0 later"), ("data", 451), id="451-then-deaf"),
        pytest.param(InBody(70_000, "421 4.3.2 bye"), ("data", 421), id="421-then-deaf"),
        pytest.param(InBody(70_000, ("550 no", CLOSE)), ("data", 550), id="550-and-close"),
        pytest.param(InBody(70_000, "250 ok"), ("data", "protocol_error"), id="250-too-early"),
        pytest.param(InBody(70_000, "354 go"), ("data", "protocol_error"), id="354-again"),
        pytest.param(InBody(70_000, "gibberish"), ("data", "protocol_error"), id="malformed"),
        pytest.param(InBody(70_000, CLOSE), ("data", "connection_failure"), id="close"),
        pytest.param(InBody(70_000, RESET), ("data", "connection_failure"), id="reset"),
    ],
)
async def test_an_end_in_the_middle_of_the_content(
    action: Action, expected: tuple[str, int | str]
) -> None:
    """A refusal counts, a success cannot be one, and nobody waits for ever (A-42, A-44, A-54)."""
    async with ScriptedServer({"DATA": action}) as server, connected(server) as connection:
        delivery = await deliver(connection, content=TOO_BIG)
        assert all_seen(delivery) == [expected]
        assert not delivery.facts[0].dot_sent
        assert not connection.is_usable


async def test_a_server_that_takes_no_content() -> None:
    """The block timer ends it (S-46)."""
    script: dict[str, Action] = {"DATA": InBody(0, SWALLOW)}
    async with (
        ScriptedServer(script) as server,
        connected(server, timers=Timers(block=0.2)) as connection,
    ):
        delivery = await deliver(connection, content=TOO_BIG)
        assert all_seen(delivery) == [("data", "connection_failure")]
        assert not delivery.facts[0].dot_sent
        breakdown = delivery.facts[0].breakdown
        assert breakdown is not None
        assert breakdown.reason == "the server took no content for 0.2 s"


@pytest.mark.parametrize(
    ("last_words", "heard"),
    [
        (b"552 5.3.4 too big\r\n", ["552 5.3.4 too big"]),
        (b"552 5.3.4 too big\r\n221 bye\r\n", ["552 5.3.4 too big"]),
        (b"421 4.3.2 bye\r\n", ["421 4.3.2 bye"]),
        (b"250 ok\r\n", []),
        (b"552 too", []),
        (b"", []),
    ],
)
async def test_last_words_are_heard_when_a_write_fails(last_words: bytes, heard: list[str]) -> None:
    """A server that refuses, and resets the connection with content unread, did refuse (A-44, S-57)."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        protocol = RelayProtocol(loop, PATIENT)
        await loop.create_connection(lambda: protocol, *listening.getsockname())
        peer, _ = listening.accept()
        peer.sendall(b"220 hello\r\n")
        assert [reply.code for reply in await protocol.answers(1)] == [220]

        def blocks() -> Iterator[tuple[bytes, bool]]:
            yield b"x" * 60_000, False
            peer.sendall(last_words)
            peer.close()  # with content unread: that is a reset
            yield b"y" * 60_000, False
            yield b".\r\n", True

        await protocol.send_content(blocks())
        assert [str(reply) for reply in await protocol.answers(1)] == heard
        assert protocol.failure is not None
        await protocol.wait_closed()

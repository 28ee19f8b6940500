"""Sockets for questions to a name server: shared for a while, at ports that nobody can foresee (RFC 5452)."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from relayd.net.dns.datagrams import Datagrams
from relayd.net.dns.message import Answer, Edns, Question
from relayd.net.dns.names import as_wire
from tests.support.receiving import on_every_loop, run_on

EMPTY = struct.pack("!HHHHH", 0x8180, 1, 0, 0, 0)  # an answer without records, behind its id
PATIENCE = 5.0  # seconds
A_TEST = Question.of(as_wire("a.test"), 1)


class Server(asyncio.DatagramProtocol):
    """Keeps what it is asked, with the ports, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, tuple[str, int]]] = []
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # it is one
        self.transport = transport
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append((data, addr))
        self._news.set()

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.asked) < times:
                self._news.clear()
                await self._news.wait()

    def answer(self, *, by: "Server | None" = None) -> None:
        """Answer all, from here or from where another server is."""
        for query, address in self.asked:
            question = query[12 : query.index(b"\0", 12) + 5]
            (by or self).transport.sendto(query[:2] + EMPTY + question, address)

    @property
    def ports(self) -> Sequence[int]:
        return [address[1] for _, address in self.asked]

    @property
    def ids(self) -> Sequence[bytes]:
        return [query[:2] for query, _ in self.asked]


@asynccontextmanager
async def a_server() -> AsyncIterator[Server]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


async def ask(datagrams: Datagrams, question: Question = A_TEST) -> Answer:
    until = asyncio.get_running_loop().time() + PATIENCE
    return await datagrams.ask(question, Edns.NONE, until)


async def test_questions_at_one_time_share_a_socket_up_to_a_limit() -> None:
    async with a_server() as server:
        datagrams = Datagrams(*server.address)
        questions = [Question.of(as_wire(f"d{n}.test"), 1) for n in range(100)]
        asking = [asyncio.ensure_future(ask(datagrams, each)) for each in questions]
        await server.until_asked(100)
        server.answer()
        await asyncio.gather(*asking)
        ports = server.ports
    assert len(set(ports)) == 2
    first = [id_ for id_, port in zip(server.ids, ports, strict=True) if port == ports[0]]
    assert 60 <= len(set(first)) == len(first) <= 64, "ids of one socket differ"


async def test_a_socket_ends_with_the_last_question() -> None:
    async with a_server() as server:
        datagrams = Datagrams(*server.address)
        for times in range(1, 21):
            asking = asyncio.ensure_future(ask(datagrams))
            await server.until_asked(times)
            server.answer()
            await asking
        assert len(set(server.ports)) > 10
        steps = {
            after - before for before, after in zip(server.ports, server.ports[1:], strict=False)
        }
        assert len(steps) > 5, "the ports can be foreseen"
        assert len(set(server.ids)) > 10


async def test_a_socket_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is outstanding is still answered there; the next question has another port."""
    loop, shift = asyncio.get_running_loop(), 0.0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + shift)
    async with a_server() as server:
        datagrams = Datagrams(*server.address)
        asking = [asyncio.ensure_future(ask(datagrams))]
        await server.until_asked(1)
        shift = 2.0
        asking.append(asyncio.ensure_future(ask(datagrams)))
        await server.until_asked(2)
        server.answer()
        await asyncio.gather(*asking)
        assert len(set(server.ports)) == 2


async def test_an_answer_from_elsewhere_is_none() -> None:
    """With the right id and question, at the right port: the system does not let it in (A-65)."""
    async with a_server() as server, a_server() as other:
        asking = asyncio.ensure_future(ask(Datagrams(*server.address)))
        await server.until_asked(1)
        server.answer(by=other)
        done, _ = await asyncio.wait([asking], timeout=0.05)
        assert not done
        server.answer()
        await asking


async def test_silence_ends_at_the_time_given() -> None:
    async with a_server() as server:
        datagrams = Datagrams(*server.address)
        with pytest.raises(TimeoutError):
            await datagrams.ask(A_TEST, Edns.NONE, asyncio.get_running_loop().time() + 0.05)
        asking = asyncio.ensure_future(ask(datagrams))
        await server.until_asked(2)
        server.answer()  # also the first, which nobody waits for any more
        await asking


async def test_a_closed_port_is_heard_of_by_all_that_wait() -> None:
    async with a_server() as server:
        address = server.address
    datagrams = Datagrams(*address)
    found = await asyncio.gather(*(ask(datagrams) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [ConnectionRefusedError] * 3


async def test_answers_that_came_together_are_taken_together() -> None:
    """A turn of the loop takes long in a process that is short of the processor: one answer a turn would be too late for most."""
    async with a_server() as server:
        datagrams = Datagrams(*server.address)
        questions = [Question.of(as_wire(f"d{n}.test"), 1) for n in range(50)]
        asking = [asyncio.ensure_future(ask(datagrams, each)) for each in questions]
        await server.until_asked(50)
        server.answer()
        for _ in range(5):  # turns
            await asyncio.sleep(0)
        assert all(each.done() for each in asking)


@on_every_loop
def test_an_answer_that_is_there_is_not_too_late(loop: str) -> None:
    """The last turn of the loop may have lasted for long: it came behind the last look at the socket."""

    async def main() -> None:
        running = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))

            def reply() -> None:
                query, address = server.recvfrom(512)
                server.sendto(query[:2] + EMPTY + query[12:], address)

            datagrams = Datagrams(*server.getsockname())
            at = running.time() + 0.05
            running.call_at(at, reply)  # in the same turn as what follows, and just before that
            assert isinstance(await datagrams.ask(A_TEST, Edns.NONE, at + 1e-9), Answer)
            with pytest.raises(TimeoutError):  # the control
                await datagrams.ask(A_TEST, Edns.NONE, running.time())

    run_on(loop, main())

"""The HTTP server of the metrics: what is answered, and what cannot hold it up."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.metrics import server
from relayd.metrics.counters import Counters
from relayd.metrics.exposition import CONTENT_TYPE
from relayd.metrics.scrape import Scrape
from relayd.metrics.server import serve_metrics
from relayd.metrics.shared import SharedCounters
from relayd.ports.view import Counts, QueueView
from relayd.store.memory.tables import Tables
from relayd.store.memory.view import MemoryView
from tests.support.clock import FakeClock

GET = b"GET %s HTTP/1.1\r\nHost: relay.test\r\n\r\n"


class LongView(MemoryView):
    """A queue with a destination of a very long name."""

    def __init__(self) -> None:
        super().__init__(Tables())

    def counts(self) -> Counts:
        return replace(super().counts(), by_destination={"x" * 2**18: 1})


class World:
    """Two workers that serve one socket."""

    def __init__(self, folder: Path) -> None:
        self.shared = SharedCounters()
        self.counters = Counters(self.shared.row("1"))
        self.counters.measured(clients=1, servers=0, is_paused=False)
        self.running: list[asyncio.Task[None]] = []
        self.open_view: Callable[[], QueueView] = lambda: MemoryView(Tables())
        with socket.create_server(("127.0.0.1", 0)) as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # of each connection, too
            self.port = bound.getsockname()[1]
            own = [bound.dup() for _ in range(2)]
        self.servers = [
            serve_metrics(
                [sock],
                Scrape(
                    self.shared,
                    open_view=self.open,
                    doctor=folder / "doctor.json",
                    clock=FakeClock(),
                ),
            )
            for sock in own
        ]

    def answer_is_long(self) -> None:
        """Longer than the buffers of a connection can hold."""
        self.open_view = LongView

    def open(self) -> QueueView:
        return self.open_view()

    async def exchange(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send octets; return status, headers and body of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert int(headers["Content-Length"]) == len(body)
        assert headers["Connection"] == "close"
        return int(first.split()[1]), headers, body


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        world.running = [tasks.create_task(each) for each in world.servers]
        try:
            yield world
        finally:
            for each in world.running:
                each.cancel()


async def test_metrics_are_handed_out(world: World) -> None:
    world.counters.received(7)
    status, headers, body = await world.exchange(GET % b"/metrics")
    assert (status, headers["Content-Type"]) == (200, CONTENT_TYPE)
    lines = body.decode().splitlines()
    assert "relayd_received_total 7" in lines
    assert "relayd_workers 1" in lines
    assert 'relayd_queue_recipients{status="queued"} 0' in lines
    assert (await world.exchange(GET % b"/metrics?x=y"))[0] == 200


async def test_health_has_its_own_page(world: World) -> None:
    status, _, body = await world.exchange(GET % b"/healthz")
    assert (status, body.partition(b"\n")[0]) == (200, b"ok")
    assert b"/readyz says whether" in body
    assert (await world.exchange(GET % b"/readyz"))[::2] == (200, b"ok\n")
    world.counters.measured(clients=0, servers=0, is_paused=True, is_full=True)
    status, _, body = await world.exchange(GET % b"/readyz?verbose")
    assert status == 503
    assert body.decode().splitlines() == [
        "the disk of the queue is full: no new mail is taken",
        "deliveries are paused: results cannot be written",
    ]
    assert (await world.exchange(GET % b"/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET % b"/", 404),
        (GET % b"/metrics/", 404),
        (GET % b"/../etc/passwd", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"GET /met\x00rics HTTP/1.1\r\n\r\n", 400),
        (b"GET http://relay.test/metrics HTTP/1.1\r\n\r\n", 400),
        (b"EHLO relay.test\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (GET[:-2] % b"/metrics" + b"X: " + b"x" * 9000, 400),
    ],
)
async def test_what_is_no_such_request_is_refused(
    world: World, request_: bytes, status: int
) -> None:
    found, headers, _ = await world.exchange(request_)
    assert found == status
    assert (headers.get("Allow") == "GET") == (status == 405)


async def test_a_request_may_come_in_pieces(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    for octet in GET % b"/healthz":
        writer.write(bytes([octet]))
        await writer.drain()
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_who_says_nothing_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And holds nobody up meanwhile."""
    monkeypatch.setattr(server, "_HEAD_WITHIN", 0.2)
    silent = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(5)]
    assert (await world.exchange(GET % b"/healthz"))[0] == 200
    for reader, writer in silent:
        assert await reader.read() == b""
        writer.close()


async def test_a_stop_answers_what_was_asked(world: World) -> None:
    """And takes no more: the address is free."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(b"GET /heal")
    assert (await world.exchange(GET % b"/healthz"))[0] == 200  # so that one has accepted it
    for each in world.running:
        each.cancel()
    await asyncio.wait_for(refuses(world.port), 5)
    writer.write(b"thz HTTP/1.1\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    await asyncio.wait(world.running)
    assert all(each.cancelled() for each in world.running)


async def refuses(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        writer.close()


def test_the_head_of_a_request_comes_soon() -> None:
    """A monitor asks on its network, in one segment."""
    assert server._HEAD_WITHIN <= 2


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET /heal", id="half-a-head"),
        pytest.param(GET % b"/metrics", id="reads-no-answer"),
    ],
)
async def test_nobody_is_kept_waiting_by_others(
    world: World, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All places are taken, and each that ends is taken again: a newcomer gets in all the same."""
    monkeypatch.setattr(server, "_HEAD_WITHIN", 20)  # nobody gets in because another one's is over
    world.answer_is_long()
    others = [await connected(world.port, sent) for _ in range(100)]
    for _ in range(5):
        async with asyncio.timeout(server._HEAD_WITHIN / 2):
            assert (await world.exchange(GET % b"/healthz"))[0] == 200
        others += [await connected(world.port, sent) for _ in range(20)]
    for each in others:
        each.close()


async def test_who_waits_for_a_slow_queue_makes_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large queue takes seconds to count: those who ask meanwhile do not pile up."""
    monkeypatch.setattr(server, "_HEAD_WITHIN", 20)
    may_go_on = threading.Event()

    def wait() -> QueueView:
        may_go_on.wait(60)
        return MemoryView(Tables())

    world.open_view = wait
    before = descriptors()
    others = [await connected(world.port, GET % b"/metrics") for _ in range(300)]
    try:
        for _ in range(2):  # the last ones are served
            async with asyncio.timeout(server._HEAD_WITHIN / 2):
                assert (await world.exchange(GET % b"/healthz"))[0] == 200
        assert descriptors() <= before + len(others) + 2 * 32 + 10
    finally:
        may_go_on.set()
        for sock in others:
            sock.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_who_does_not_read_its_answer_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_ANSWER_WITHIN", 0.2)
    world.answer_is_long()
    with await connected(world.port, GET % b"/metrics"):
        assert (await world.exchange(GET % b"/healthz"))[0] == 200
        for each in world.running:
            each.cancel()
        _, waiting = await asyncio.wait(world.running, timeout=5)
        assert not waiting


async def connected(port: int, sent: bytes) -> socket.socket:
    """A connection that takes next to nothing of an answer before it is read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)  # noqa: FBT003 -- positional only
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    with contextlib.suppress(ConnectionError):
        await loop.sock_sendall(sock, sent)
    return sock


async def test_who_leaves_early_is_no_error(world: World) -> None:
    with capture_logs() as lines:
        for request in (b"", b"GET /me"):
            _, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(request)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        assert (await world.exchange(GET % b"/healthz"))[0] == 200
    assert not lines


async def test_an_error_of_ours_ends_one_request(world: World) -> None:
    def fail() -> QueueView:
        raise ZeroDivisionError

    world.open_view = fail
    with capture_logs() as lines:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(GET % b"/metrics")
        assert await reader.read() == b""
        writer.close()
    assert [line["event"] for line in lines] == ["metrics_request_failed"]
    assert (await world.exchange(GET % b"/healthz"))[0] == 200

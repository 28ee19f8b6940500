"""Bad clients: what a crowd of them costs, and whether a good one still gets its mail in.

At once, on loopback: thousands of idle connections; clients that send an octet at a time; clients
that send and never read; clients that flood with RCPT. Two rounds: limits raised so that the whole crowd
fits in, and the default limits, with the crowd spread over addresses until no place is left.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

from benchmarks.crowds.good import Good
from benchmarks.peers import Relay, Relayd

ADDRESSES = [f"127.0.1.{number}" for number in range(1, 51)]  # of the crowd
EACH = 10  # clients of each kind of misbehaviour
FREE_WITHIN = 30.0  # seconds
_NAMES = b"".join(b"RCPT TO:<u%d@flood.test>\r\n" % number for number in range(1000))


class Tasks:
    """Tasks that go on until all are ended."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Crowd:
    """Clients that mean no good; those that are hung up on come back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks = Tasks()
        self._idle: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()
        self.counts = dict.fromkeys(("idle", "turned away", "hung up on", "rcpts answered"), 0)

    async def gather(self, count: int) -> None:
        """Open the idle connections, then start the others. Who is not answered is turned away."""
        door = asyncio.Semaphore(50)

        async def come(number: int) -> None:
            async with door:
                sock = await self._connect(ADDRESSES[number % len(ADDRESSES)])
                with contextlib.suppress(OSError, TimeoutError):
                    greeting = await asyncio.wait_for(self._loop.sock_recv(sock, 200), 5)
                    if greeting.startswith(b"220"):
                        await self._loop.sock_sendall(sock, b"EHLO idle.bench.test\r\n")
                        self._idle.append(sock)
                        return
                self.counts["turned away"] += 1
                sock.close()

        await asyncio.gather(*map(come, range(count)))
        self.counts["idle"] = len(self._idle)
        for number, kind in enumerate((self._drip, self._push, self._flood) * EACH):
            again = self._again(kind, ADDRESSES[number % len(ADDRESSES)])
            self._tasks.begin(again)

    async def leave(self) -> None:
        await self._tasks.end()
        for sock in self._idle:
            sock.close()

    async def _again(self, kind: Callable[[socket.socket], Awaitable[None]], address: str) -> None:
        while True:
            sock = await self._connect(address)
            try:
                await kind(sock)
            except* OSError:
                pass
            finally:
                sock.close()
            self.counts["hung up on"] += 1
            await asyncio.sleep(0.2)

    async def _connect(self, address: str) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)  # noqa: FBT003 -- it is Python's
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        sock.bind((address, 0))
        await self._loop.sock_connect(sock, ("127.0.0.1", self._port))
        return sock

    async def _say(self, sock: socket.socket, command: bytes) -> None:
        """Send one command and wait for its reply; the first is the greeting's."""
        await self._loop.sock_sendall(sock, command)
        if not await self._loop.sock_recv(sock, 65536):
            raise ConnectionResetError

    async def _begin(self, sock: socket.socket) -> None:
        for command in (b"", b"EHLO bad.bench.test\r\n", b"MAIL FROM:<a@bench.test>\r\n"):
            await self._say(sock, command)

    async def _drip(self, sock: socket.socket) -> None:
        """Send a message an octet at a time."""
        await self._begin(sock)
        for octet in b"RCPT TO:<b@bench.test>\r\n":
            await self._loop.sock_sendall(sock, bytes([octet]))
            await asyncio.sleep(0.1)
        await self._say(sock, b"DATA\r\n")
        while True:
            await self._loop.sock_sendall(sock, b"x")
            await asyncio.sleep(0.1)

    async def _push(self, sock: socket.socket) -> None:
        """Ask for replies and read none."""
        await self._begin(sock)
        while True:
            await self._loop.sock_sendall(sock, _NAMES)

    async def _flood(self, sock: socket.socket) -> None:
        """Name recipients as fast as that goes."""
        await self._begin(sock)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._count(sock))
            while not reading.done():
                await self._loop.sock_sendall(sock, _NAMES)

    async def _count(self, sock: socket.socket) -> None:
        while replies := await self._loop.sock_recv(sock, 65536):
            self.counts["rcpts answered"] += replies.count(b"\r\n")


async def beside(relay: Relay, good: Good, *, idle: int, seconds: float) -> dict:
    """Let the crowd in, and have the good client submit meanwhile."""
    before = _descriptors(relay)
    crowd = Crowd(relay.port)
    try:
        await crowd.gather(idle)
        await good.submit(seconds=seconds, rate=10)
    finally:
        await crowd.leave()
    freed = await _freed(relay, before)
    return {**crowd.counts, "all free after s": freed}


async def _freed(relay: Relay, before: list[int]) -> float | None:
    """Return after how many seconds the workers had no more descriptors than before."""
    if not isinstance(relay, Relayd):
        return None
    began = time.monotonic()
    while time.monotonic() < began + FREE_WITHIN:
        now = _descriptors(relay)
        if all(one <= other + 2 for one, other in zip(now, before, strict=True)):
            return round(time.monotonic() - began, 1)
        await asyncio.sleep(0.1)
    return None


def _descriptors(relay: Relay) -> list[int]:
    """Open descriptors of each worker of relayd."""
    if not isinstance(relay, Relayd):
        return []
    return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in relay.workers()]

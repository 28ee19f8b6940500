"""A client and a next hop that note when a message was accepted and when it arrived.

Both live in one process and read one clock, so that the difference is the time that a message
spent in the relay. They speak as little SMTP as that takes.
"""

import asyncio
import re
import socket
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

_NUMBER = re.compile(rb"^Subject: (-?\d+)\r\n", re.MULTILINE)
_BODY = b"0123456789abcdef" * 4 + b"\r\n"


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


class Refused(SystemExit):
    """The relay has answered with neither 2yz nor 3yz; unless somebody cares, the benchmark ends."""


class Client:
    """One session that submits message after message, each group of commands in one piece."""

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        self._port, self._source = port, source
        self.dotted_at = 0.0  # when the last message's content went, with its final dot

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._source, 0)
        )
        await self._reply()
        await self._say(b"EHLO client.bench.test\r\n")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._writer.close()

    async def submit(self, recipient: str, number: int, *, size: int = 2000) -> float:
        """Return when it was accepted, by the monotonic clock."""
        envelope = f"MAIL FROM:<app@bench.test>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
        await self._say(envelope.encode(), replies=3)
        head = f"Subject: {number}\r\n\r\n".encode()
        self.dotted_at = time.monotonic()
        await self._say(head + _BODY * (size // len(_BODY)) + b".\r\n")
        return time.monotonic()

    async def _say(self, octets: bytes, *, replies: int = 1) -> None:
        self._writer.write(octets)
        for _ in range(replies):
            await self._reply()

    async def _reply(self) -> None:
        while True:
            line = await self._reader.readuntil(b"\r\n")
            if line[:1] not in b"23":
                raise Refused(f"the relay says {line.decode().strip()}")
            if line[3:4] != b"-":
                return


class Arrivals:
    """A next hop that takes everything: `at` has the instant of each message, by its number."""

    def __init__(
        self, *, host: str | Sequence[str] = "127.0.0.1", port: int = 0, shares_port: bool = False
    ) -> None:
        """`shares_port`: somebody else has that port of all other addresses."""
        self.host, self.port, self._shares_port = host, port, shares_port or None
        self.at: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, backlog=500, reuse_port=self._shares_port
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def all_of(self, numbers: Sequence[int], *, within: float) -> float:
        """Wait until these messages have arrived, or time is up; return the present instant."""
        missing = set(numbers) - self.at.keys()
        ends = time.monotonic() + within
        while missing and time.monotonic() < ends:
            await asyncio.sleep(0.05)
            missing -= self.at.keys()
        if missing:
            print(f"{len(missing)} have not arrived after {within:g} s", file=sys.stderr)
        return time.monotonic()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink.bench.test ESMTP\r\n")
        while True:
            command = (await reader.readuntil(b"\r\n"))[:4].upper()
            if command == b"EHLO":
                writer.write(b"250-sink.bench.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif command == b"DATA":
                writer.write(b"354 go ahead\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                found = _NUMBER.search(content)
                if found is not None:
                    self.at.setdefault(int(found[1]), time.monotonic())
                writer.write(b"250 2.0.0 taken\r\n")
            elif command == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")

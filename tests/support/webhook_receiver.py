"""A receiver of webhooks on 127.0.0.1, with TLS or without, that behaves and misbehaves as told.

async with Receiver(context) as receiver:
    receiver.script = [Reply(503), Reply(200)]      # the last one repeats
    ...                                             # receiver.port
    receiver.requests[0].fields["webhook-id"]
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """What was received."""

    line: str
    fields: dict[str, str]
    body: bytes
    server_name: str | None  # SNI

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    fields: Sequence[str] = ()
    body: bytes = b"thank you"

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        lines = [
            f"HTTP/1.1 {self.status} Whatever",
            f"Content-Length: {len(self.body)}",
            *self.fields,
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + self.body)
        await writer.drain()


async def die(_writer: asyncio.StreamWriter) -> None:
    """Read everything, and hang up without an answer."""


async def stall(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """An answer that never ends, an octet at a time."""
    for octet in b"HTTP/1.1 200 " + b"a" * 10_000:
        writer.write(bytes([octet]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def flood(writer: asyncio.StreamWriter) -> None:
    """A body without an end, as fast as it goes."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


async def flood_fields(writer: asyncio.StreamWriter) -> None:
    """A header section without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-y: z\r\n" * 1000)
        await writer.drain()


async def continue_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0.001)


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.test ESMTP\r\n")
    await writer.drain()


async def half(writer: asyncio.StreamWriter) -> None:
    """An answer whose body is cut short."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


@dataclass
class Receiver:
    """Answers one request on each connection."""

    context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    script: list[Behaviour] = field(default_factory=lambda: [Reply(200)])
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0

    async def __aenter__(self) -> Self:
        self.arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._names: list[str | None] = []
        if self.context is not None:
            self.context.sni_callback = lambda _socket, name, _context: self._names.append(name)
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, ssl=self.context
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def got(self, number: int) -> list[Request]:
        """Wait until so many requests have come."""
        async with asyncio.timeout(15), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= number)
        return self.requests

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._read(reader)
                behave = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                await behave(writer)
        finally:
            self.at_once -= 1
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.strip().split("\r\n")
        fields = {
            name.lower(): value for name, _, value in (each.partition(": ") for each in lines)
        }
        body = await reader.readexactly(int(fields["content-length"]))
        name = self._names.pop(0) if self._names else None
        async with self.arrived:
            self.requests.append(Request(line, fields, body, name))
            self.arrived.notify_all()

"""A web server over TLS that says any octets, in the pieces that a test wants; and what it was asked.

async with HttpsServer(context, said(b"policy", kind="text/plain")) as server:
    ...
    assert server.asked == ["GET /.well-known/mta-sts.txt HTTP/1.1"]
"""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self


def said(
    body: bytes, *, status: int = 200, kind: str = "text/plain", length: int | None = None
) -> bytes:
    """Return a whole answer; `length` is what it says of its body."""
    count = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\nContent-Length: {count}\r\n\r\n"
    return head.encode() + body


STALL = b""
"""In the place of a piece: nothing ever comes."""


class HttpsServer:
    """Says the same to everybody. `pieces` go out one by one; with `stays`, it never hangs up."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        *pieces: bytes,
        stays: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.pieces: Sequence[bytes] = pieces
        self.asked: list[str] = []  # first lines
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.port = port
        self._tls = tls
        self._stays = stays
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def next_pieces(self) -> Sequence[bytes]:
        return self.pieces

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):  # the client hung up
                await self._answer(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        self.asked.append(head.splitlines()[0])
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        self.bodies.append(await reader.readexactly(int(fields.get("content-length", "0"))))
        for piece in self.next_pieces():
            if piece == STALL:
                await asyncio.Event().wait()
            writer.write(piece)
            await writer.drain()
        if self._stays:
            await asyncio.Event().wait()
        writer.close()
        await writer.wait_closed()

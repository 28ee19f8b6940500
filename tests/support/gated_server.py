"""A next hop that counts its open connections, and holds all mail at the final dot while its gate is shut."""

import asyncio
from contextlib import suppress
from typing import Self


class GatedServer:
    """Takes all mail; each connection waits at the dot until the gate is open."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host, self.port = host, port
        self._gate = asyncio.Event()
        self._gate.set()
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self.open = 0  # connections
        self.most = 0  # of them at once, so far
        self.taken = 0  # messages

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._gate.set()
        for session in tuple(self._sessions):
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def shut(self) -> None:
        self._gate.clear()

    async def let_through(self) -> None:
        self._gate.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        assert session is not None
        self._sessions.add(session)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._talk(reader, writer)
        finally:
            self.open -= 1
            self._sessions.discard(session)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.test ESMTP\r\n")
        while line := await reader.readline():
            match line[:4].upper():
                case b"DATA":
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    if not await self._is_let_through(reader):
                        return
                    self.taken += 1
                    writer.write(b"250 2.0.0 taken\r\n")
                case b"QUIT":
                    writer.write(b"221 2.0.0 bye\r\n")
                    return
                case _:
                    writer.write(b"250 2.0.0 ok\r\n")

    async def _is_let_through(self, reader: asyncio.StreamReader) -> bool:
        """Wait for the gate; False: the client is gone before it is open."""
        gate = asyncio.ensure_future(self._gate.wait())
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((gate, gone), return_when=asyncio.FIRST_COMPLETED)
        is_through = gate.done()
        for each in (gate, gone):
            each.cancel()
        await asyncio.gather(gate, gone, return_exceptions=True)
        return is_through

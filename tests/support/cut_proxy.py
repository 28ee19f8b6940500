"""Between a client and a server of PostgreSQL: a connection is cut, or falls silent, at a place of one exchange.

An exchange is what a client sends up to a Sync or a Query, and what the server answers up to ReadyForQuery; or what
it sends up to a Flush, and the answer to Describe. Source: PostgreSQL manual, 55.2 and 55.7: a message is a type of one octet, a length of four that counts itself, and a body; the
first message of a client has no type.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"
# The last message of a client, and those that end the answer.
_ENDS = {b"S": b"Z", b"Q": b"Z", b"H": b"TnE"}
_HEADER = 5  # octets


class Cut(Enum):
    """Where an exchange ends."""

    BEFORE = "ahead of the statement"
    SENT = "behind the statement"
    HEADER = "inside of the answer's first header"
    BODY = "inside of the body of the last message but one"
    BETWEEN = "behind the answer's first message"
    READY = "ahead of the last message"
    AFTER = "behind the last message"
    LOST = "the statement vanishes, and the connection stays"
    SILENT = "the answer vanishes, and the connection stays"
    STALLED = "the answer comes late"


@dataclass(slots=True)
class CutProxy:
    """A folder with a socket that leads to the server."""

    folder: Path
    _server: Path
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _name: str = ""
    _cut: Cut | None = None
    _nth: int = 0
    _then: int = 0
    _refuses: int = 0
    _to_refuse: int = 0  # connections, now
    exchanges: int = 0  # of the line that is watched, since it is
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_held: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def has_cut(self) -> bool:
        return self._cut is None

    def watch(
        self, name: str, cut: Cut | None = None, nth: int = 0, *, then: int = 0, refuses: int = 0
    ) -> None:
        """Count the exchanges of connections of that name from now on, and cut in the one of that number, from 1.

        With `then` it is cut once more, so many exchanges later. So many new connections as `refuses` says are
        refused behind the first cut.
        """
        self._name, self._cut, self._nth, self._then, self.exchanges = name, cut, nth, then, 0
        self._refuses, self._to_refuse = refuses, 0
        self.goes_on.clear()
        self.is_held.clear()

    def take(self, name: str) -> Cut | None:
        """Return where to cut the exchange that begins on a connection of that name."""
        if name != self._name:
            return None
        self.exchanges += 1
        if self.exchanges != self._nth:
            return None
        cut = self._cut
        self._to_refuse, self._refuses = self._to_refuse + self._refuses, 0
        if self._then:
            self._nth, self._then = self._nth + self._then, 0
        else:
            self._cut = None
        return cut

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._to_refuse:
            self._to_refuse -= 1
            writer.close()
            return
        server = await asyncio.open_unix_connection(str(self._server / _SOCKET))
        connection = _Connection(self, reader, writer, *server)
        task = asyncio.ensure_future(connection.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass(slots=True)
class _Connection:
    proxy: CutProxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server_reader: asyncio.StreamReader
    server_writer: asyncio.StreamWriter
    name: str = ""
    cut: Cut | None = None  # in the answer that comes
    ends: bytes = b""  # types of its last message

    async def run(self) -> None:
        pumps = [asyncio.ensure_future(each) for each in (self._forth(), self._back())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.writer.transport.abort()
            self.server_writer.close()

    async def _forth(self) -> None:
        """What the client says; it returns when the connection is to end."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            length = await self.reader.readexactly(4)
            greeting = await self.reader.readexactly(int.from_bytes(length) - 4)
            words = greeting[4:].split(b"\0")
            self.name = words[words.index(b"application_name") + 1].decode()
            self.server_writer.write(length + greeting)
            said = b""
            while True:
                message = await _message(self.reader)
                said += message
                if message[:1] in _ENDS:
                    cut = self.proxy.take(self.name)
                    if cut is Cut.BEFORE:
                        return
                    if cut is not Cut.LOST:
                        self.cut, self.ends = cut, _ENDS[message[:1]]
                        self.server_writer.write(said)
                    if cut is Cut.SENT:
                        await self.server_writer.drain()
                        return
                    said = b""
                elif message[:1] == b"X":
                    self.server_writer.write(said)

    async def _back(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            behind = b""  # a message that may be the last one ahead of ReadyForQuery
            while True:
                message = await _message(self.server_reader)
                if self.cut is None:
                    self.writer.write(message)
                    continue
                is_ready = message[:1] in self.ends
                match self.cut:
                    case Cut.HEADER:
                        return await self._end(message[: _HEADER - 2])
                    case Cut.BETWEEN:
                        return await self._end(message)
                    case Cut.BODY if is_ready:
                        return await self._end(behind[: (len(behind) + _HEADER) // 2])
                    case Cut.READY if is_ready:
                        return await self._end(behind)
                    case Cut.AFTER if is_ready:
                        return await self._end(behind + message)
                    case Cut.STALLED if is_ready:
                        self.proxy.is_held.set()
                        await self.proxy.goes_on.wait()
                        self.writer.write(behind + message)
                        self.cut, behind = None, b""
                        continue
                    case Cut.SILENT:
                        continue
                    case _:
                        pass
                self.writer.write(behind)
                behind = message

    async def _end(self, octets: bytes) -> None:
        """Send these as the last ones."""
        self.writer.write(octets)
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def _message(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(_HEADER)
    return header + await reader.readexactly(int.from_bytes(header[1:]) - 4)


@asynccontextmanager
async def a_cut_proxy(server: Path) -> AsyncIterator[CutProxy]:
    """Serve in a folder of its own; `server` is the folder of the server's socket."""
    with tempfile.TemporaryDirectory(prefix="relayd-cut-") as folder:
        proxy = CutProxy(Path(folder), server)
        listening = await asyncio.start_unix_server(proxy.serve, str(Path(folder) / _SOCKET))
        try:
            yield proxy
        finally:
            listening.close()
            await proxy.close()

"""A client that does STARTTLS, since `smtp-source` has none: sends messages, some sessions at once.

    tls_source.py HOST:PORT SESSIONS MESSAGES OCTETS kept|new

It believes any certificate. Each group of commands goes in one piece.
"""

import asyncio
import ssl
import sys
from collections.abc import Iterator

import uvloop

_EHLO = b"EHLO source.bench.test\r\n"
_ENVELOPE = b"MAIL FROM:<from@bench.test>\r\nRCPT TO:<to@bench.test>\r\nDATA\r\n"
_HEAD = b"From: <from@bench.test>\r\nTo: <to@bench.test>\r\nSubject: benchmark\r\n\r\n"
_LINE = b"0123456789abcdef" * 4 + b"\r\n"


class _Connection:
    """One connection, in TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext) -> "_Connection":
        self = cls(*await asyncio.open_connection(host, port))
        await self._reply()
        await self._say(_EHLO)
        await self._say(b"STARTTLS\r\n")
        await self._writer.start_tls(context, server_hostname="relay.bench.test")
        await self._say(_EHLO)
        return self

    async def submit(self, content: bytes) -> None:
        await self._say(_ENVELOPE, replies=3)
        await self._say(content)

    async def close(self) -> None:
        await self._say(b"QUIT\r\n")
        self._writer.close()

    async def _say(self, commands: bytes, *, replies: int = 1) -> None:
        self._writer.write(commands)
        for _ in range(replies):
            await self._reply()

    async def _reply(self) -> None:
        while (line := await self._reader.readline())[3:4] == b"-":
            pass
        if line[:1] not in (b"2", b"3"):
            raise SystemExit(f"the relay has answered {line!r}")


async def _session(
    numbers: Iterator[int], address: tuple[str, int], content: bytes, *, is_kept: bool
) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection: _Connection | None = None
    for _ in numbers:
        if connection is None:
            connection = await _Connection.open(*address, context)
        await connection.submit(content)
        if not is_kept:
            await connection.close()
            connection = None
    if connection is not None:
        await connection.close()


async def main(where: str, sessions: str, messages: str, octets: str, kept: str) -> None:
    host, _, port = where.rpartition(":")
    lines = max(int(octets) - len(_HEAD), 0) // len(_LINE)
    content = _HEAD + _LINE * lines + b".\r\n"
    numbers = iter(range(int(messages)))
    async with asyncio.TaskGroup() as group:
        for _ in range(int(sessions)):
            group.create_task(_session(numbers, (host, int(port)), content, is_kept=kept == "kept"))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))

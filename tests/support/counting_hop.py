"""A next hop that takes everything, and keeps a ledger of each transaction: who, what, and when.

It counts a message as delivered once it has read its final dot, whatever becomes of its reply, as a server does
(RFC 5321 §4.2.5). It takes its time for that reply, so that a fault of a relay finds open transactions.
"""

import asyncio
import hashlib
import random  # noqa: TID251 -- seeded
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.daemon import without_trace

_LONGEST = 2**20  # octets of content


@dataclass(slots=True)
class Copy:
    """One message that came; instants are monotonic."""

    relay: str  # as it calls itself in EHLO
    rcpts: tuple[str, ...]
    digest: bytes  # of the content as its client gave it
    begun: float  # MAIL was read
    came: float  # the final dot was
    answered: float | None = None  # None: the connection was lost before


def digest_of(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class CountingHop:
    """See the module."""

    def __init__(self, host: str, chance: random.Random, *, slowest: float) -> None:
        """Its reply to a final dot takes up to `slowest` seconds."""
        self.host, self.port = host, 0
        self.copies: list[Copy] = []
        self.open = Counter[str]()  # transactions that have begun and have no answer, by relay
        self._chance, self._slowest = chance, slowest
        self._tasks = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, limit=_LONGEST)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            with suppress(OSError):
                writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay, rcpts, begun = "", list[str](), 0.0

        async def say(reply: bytes) -> None:
            writer.write(reply + b"\r\n")
            await writer.drain()

        await say(b"220 hop.test ESMTP")
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2].decode()
            verb, _, argument = line.partition(" ")
            match verb.upper():
                case "EHLO":
                    relay = argument
                    await say(b"250-hop.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000000")
                case "MAIL":
                    rcpts, begun = [], time.monotonic()
                    await say(b"250 2.1.0 ok")
                case "RCPT":
                    rcpts.append(argument.partition("<")[2].partition(">")[0])
                    await say(b"250 2.1.5 ok")
                case "DATA":
                    await say(b"354 go ahead")
                    self.open[relay] += 1
                    try:
                        digest = digest_of(without_trace(await _content(reader)))
                        copy = Copy(relay, tuple(rcpts), digest, begun, time.monotonic())
                        self.copies.append(copy)
                        await asyncio.sleep(self._chance.random() * self._slowest)
                        await say(b"250 2.0.0 taken")
                    finally:
                        self.open[relay] -= 1
                    if not reader.at_eof():
                        copy.answered = time.monotonic()
                case "QUIT":
                    await say(b"221 2.0.0 bye")
                    return
                case _:
                    await say(b"250 2.0.0 ok")


async def _content(reader: asyncio.StreamReader) -> bytes:
    """Read up to the final dot; return it without stuffing."""
    lines = []
    while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
        lines.append(line.removeprefix(b"."))
    return b"".join(lines)

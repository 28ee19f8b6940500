"""A next hop that follows a script: a real SMTP server on loopback, made for misbehaving.

    script = {"RCPT TO:<a@x.test>": "550 5.1.1 no such user"}
    async with ScriptedServer(script) as server:
        ...                                    # send mail to server.host, server.port
        await server.received(1)               # wait for a message
        assert server.messages[0].content == ...

The script maps what happens to what the server does. A key is `GREETING`, `DOT` (the final dot
was read) or the beginning of a command in any case; the longest key that fits counts. What the
script does not name goes well. A value is an `Action`:

    "250 ok"              a reply; CRLF is added, "\\n" inside separates the lines of a longer one
    Raw(b"250 ok\\n")      these octets
    Beneath(b"oops")      these octets without TLS, under a session that has it
    Drip("250 ok", 0.05)  one octet every 0.05 s
    SWALLOW               no reply
    HANG                  no reply, and deaf from now on
    CLOSE, RESET          hang up, with FIN or with RST
    Wait(event, "250")    wait for an asyncio.Event first
    ("421 bye", CLOSE)    one after the other
    InTurn("250", "421")  the first time this, the next time that; the last one repeats
    AnyOf(chance, "250", "451")    one of them each time, by a random.Random
    InBody(9000, "550")   only for DATA: say 354, read so many octets of the content, then act; it
                          reads no further, but does not hang up by itself

`cut` says how replies are cut into segments: in one piece, in octets, or in lines with a pause.

Under `EHLO` a list names the extensions instead, for example ["PIPELINING", "SIZE 1000"].
Replies to what came in one piece go out in one piece, as a server with pipelining does it.

It notes everything: `dialog` (commands, over all connections), `connections`, `messages`.
A bare CR, bare LF or NUL in anything that came in is noted too and fails the test at the end.
"""

import asyncio
import contextlib
import os
import random  # noqa: TID251 -- seeded
import re
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

EXTENSIONS = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")

_UNCLEAN = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")


@dataclass(frozen=True)
class Raw:
    octets: bytes


@dataclass(frozen=True)
class Beneath:
    octets: bytes


@dataclass(frozen=True)
class Drip:
    text: str
    every: float  # seconds


class Silent(Enum):
    """Actions without any words."""

    SWALLOW = "swallow"
    HANG = "hang"
    CLOSE = "close"
    RESET = "reset"


SWALLOW, HANG, CLOSE, RESET = Silent


@dataclass(frozen=True)
class Wait:
    event: asyncio.Event
    then: "Action"


@dataclass(frozen=True)
class InBody:
    octets: int
    then: "Action"


class InTurn:
    """The first time the first action, and so on; over all connections."""

    def __init__(self, *actions: "Action") -> None:
        self._actions = list(actions)

    def next(self) -> "Action":
        return self._actions.pop(0) if len(self._actions) > 1 else self._actions[0]


class AnyOf(InTurn):
    """One of these each time, by chance."""

    def __init__(self, chance: random.Random, *actions: "Action") -> None:
        super().__init__(*actions)
        self._chance = chance

    def next(self) -> "Action":
        return self._chance.choice(self._actions)


Action = str | Raw | Beneath | Drip | Silent | Wait | InBody | InTurn | tuple["Action", ...]
Script = Mapping[str, Action | list[str]]


@dataclass(frozen=True, kw_only=True)
class Message:
    """What came with one final dot. `mail` and `rcpts` are the arguments as written."""

    mail: str  # such as "FROM:<a@b.test> SIZE=9"
    rcpts: tuple[str, ...]  # accepted ones only, such as "TO:<c@d.test>"
    content: bytes  # without stuffing and final dot
    connection: int  # counted from 1
    tls: bool


class Cut(Enum):
    """How what the server says arrives."""

    WHOLE = "whole"
    OCTETS = "octets"
    LINES = "lines"  # what a line brings about comes before the next one

    def pieces(self, octets: bytes) -> list[bytes]:
        match self:
            case Cut.WHOLE:
                return [octets]
            case Cut.OCTETS:
                return [octets[index : index + 1] for index in range(len(octets))]
            case Cut.LINES:
                return octets.splitlines(keepends=True)

    @property
    def pause(self) -> int:
        """Turns of the loop after each piece: two until the client has read it."""
        return {Cut.WHOLE: 0, Cut.OCTETS: 2, Cut.LINES: 20}[self]


CUTS = list(Cut)


class ScriptedServer:
    """See the module. `tls` is a server context: STARTTLS is offered then, or it begins with TLS."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        cut: Cut = Cut.WHOLE,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.script = {key.upper(): action for key, action in (script or {}).items()}
        self.tls = tls
        self.implicit = implicit
        self.cut = cut
        self.host = host
        self.port = port
        self.connections = 0
        self.open = 0
        self.most_open = 0  # connections at one time
        self.dialog: list[str] = []
        self.messages: list[Message] = []
        self.unclean: list[bytes] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        first = self.tls if self.implicit else None
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=first)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()
        if exc is None:
            assert not self.unclean, f"bare CR, bare LF or NUL came in: {self.unclean}"

    async def stop(self) -> None:
        """Close the port and hang up on everybody. Raises what went wrong in a connection."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)

    async def received(self, count: int) -> list[Message]:
        """Wait until so many messages have come; return them all."""
        await self.until(lambda: len(self.messages) >= count)
        return self.messages

    async def until(self, condition: Callable[[], bool], *, within: float = 5) -> None:
        """Wait for a condition on what was noted."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    async def note(self, command: str | None = None) -> None:
        """Add to the dialog, and wake those who wait."""
        if command is not None:
            self.dialog.append(command)
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        transport = writer.transport
        session = _Session(self, reader, writer, self.connections)
        try:
            await session.run()
        except (_HungUp, OSError, asyncio.CancelledError):  # 3.11 would log a cancelled handler
            pass
        finally:
            self.open -= 1
            if session.broken:
                transport.abort()
            else:
                writer.close()
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await writer.wait_closed()


class _HungUp(Exception):
    """This connection is over."""


class _Session:
    """One connection."""

    def __init__(
        self,
        server: ScriptedServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.number = number
        self.broken = False  # to be aborted instead of closed
        self.under_tls = server.implicit
        self.buffer = bytearray()
        self.pending = b""  # replies not yet written
        self.mail = ""
        self.rcpts: list[str] = []

    async def run(self) -> None:
        await self.act("GREETING", "220 mx.test ESMTP")
        while True:
            line = await self.read_line()
            await self.server.note(line)
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            if verb == "DATA":
                await self.data(line)
            elif await self.act(line, self.default(verb)):
                await self.advance(verb, argument)
            if verb == "QUIT":
                raise _HungUp

    def default(self, verb: str) -> str:
        """What a good server says to a command other than DATA."""
        if verb == "EHLO":
            return "\n".join(["250 mx.test", *self.extensions()])
        good = {"QUIT": "221 2.0.0 bye", "AUTH": "235 2.7.0 welcome", "STARTTLS": "220 2.0.0 go"}
        return good.get(verb, "250 2.0.0 ok")

    async def advance(self, verb: str, argument: str) -> None:
        """Follow a command that was accepted."""
        match verb:
            case "MAIL":
                self.mail, self.rcpts = argument, []
            case "RCPT":
                self.rcpts.append(argument)
            case "RSET":
                self.mail, self.rcpts = "", []
            case "STARTTLS" if self.server.tls is not None:
                await self.flush()
                await self.start_tls(self.server.tls)

    async def data(self, line: str) -> None:
        accepted = bool(self.mail and self.rcpts)
        action = self.find(line, "354 go ahead" if accepted else "554 5.5.1 no valid recipients")
        if isinstance(action, InBody):
            await self.perform("354 go ahead")
            await self.flush()
            while len(self.buffer) < action.octets:
                await self.fill()
            await self.perform((action.then, HANG))
        if not await self.perform(action):
            return
        content = await self.read_content()
        message = Message(
            mail=self.mail,
            rcpts=tuple(self.rcpts),
            content=content,
            connection=self.number,
            tls=self.under_tls,
        )
        self.mail, self.rcpts = "", []
        self.server.messages.append(message)
        await self.server.note()
        await self.act("DOT", "250 2.0.0 queued")

    async def start_tls(self, context: ssl.SSLContext) -> None:
        self.broken = True  # asyncio does not tell when the handshake fails
        try:
            await self.writer.start_tls(context)
        except AttributeError:  # nor that the client hung up
            raise _HungUp from None
        self.broken = False
        self.under_tls = True

    def extensions(self) -> list[str]:
        given = self.server.script.get("EHLO")
        offered = list(given) if isinstance(given, list) else list(EXTENSIONS)
        if self.server.tls is not None and not self.under_tls:
            offered.append("STARTTLS")
        return offered

    def find(self, event: str, default: str) -> Action:
        """What the script says to this event."""
        keys = [key for key in self.server.script if event.upper().startswith(key)]
        found = self.server.script[max(keys, key=len)] if keys else default
        action = default if isinstance(found, list) else found
        return action.next() if isinstance(action, InTurn) else action

    async def act(self, event: str, default: str) -> bool:
        return await self.perform(self.find(event, default))

    async def perform(self, action: Action) -> bool:
        """Do it; return True if it said yes (2yz or 3yz)."""
        yes = False
        match action:
            case str() | Raw() | Drip() | Beneath():
                yes = await self.say(action)
            case Wait(event, then):
                await self.flush()
                await event.wait()
                yes = await self.perform(then)
            case tuple():
                results = [await self.perform(one) for one in action]
                yes = results[0]
            case InTurn():
                yes = await self.perform(action.next())
            case Silent.CLOSE | Silent.RESET:
                await self.hang_up(reset=action is RESET)
            case Silent.HANG:
                await self.flush()
                await asyncio.Event().wait()  # until the test is over
            case Silent.SWALLOW | InBody():
                pass
        return yes

    async def say(self, words: str | Raw | Drip | Beneath) -> bool:
        """Send something; return True if it is a yes."""
        if isinstance(words, str | Raw):
            octets = _octets(words)
            self.pending += octets
            return octets[:1] in (b"2", b"3")
        await self.flush()
        if isinstance(words, Beneath):
            os.write(self.writer.get_extra_info("socket").fileno(), words.octets)
            return False
        for octet in _octets(words.text):
            if self.writer.transport.is_closing():
                raise _HungUp
            self.writer.write(bytes([octet]))
            await asyncio.sleep(words.every)
        return words.text[0] in "23"

    async def hang_up(self, *, reset: bool) -> None:
        await self.flush()
        if reset:
            self.broken = True
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _HungUp

    async def read_line(self) -> str:
        while (end := self.buffer.find(b"\n")) < 0:
            await self.flush()
            await self.fill()
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        self.check(line)
        return line.decode("utf-8", "backslashreplace").rstrip("\r\n")

    async def read_content(self) -> bytes:
        """Read up to the final dot and take the stuffing out."""
        self.buffer[:0] = b"\r\n"  # so that a lone dot right at the start is found as well
        searched = 0
        while (end := self.buffer.find(b"\r\n.\r\n", searched)) < 0:
            searched = max(0, len(self.buffer) - 4)
            await self.flush()
            await self.fill()
        content = bytes(self.buffer[: end + 2])
        del self.buffer[: end + 5]
        self.check(content)
        return content.replace(b"\r\n.", b"\r\n")[2:]

    async def flush(self) -> None:
        octets, self.pending = self.pending, b""
        for piece in self.server.cut.pieces(octets) if octets else ():
            self.writer.write(piece)
            await self.writer.drain()
            for _ in range(self.server.cut.pause):
                await asyncio.sleep(0)

    async def fill(self) -> None:
        chunk = await self.reader.read(65536)
        if not chunk:
            raise _HungUp
        self.buffer += chunk

    def check(self, octets: bytes) -> None:
        if (found := _UNCLEAN.search(octets)) is not None:
            self.server.unclean.append(octets[max(0, found.start() - 30) : found.end() + 30])


def _octets(reply: str | Raw) -> bytes:
    """A reply of as many lines; code and separator of the first go in front of the others."""
    if isinstance(reply, Raw):
        return reply.octets
    code, lines = reply[:3], reply[4:].split("\n")
    whole = "".join(f"{code}-{line}\r\n" for line in lines[:-1])
    return f"{whole}{code}{reply[3:4]}{lines[-1]}\r\n".encode()

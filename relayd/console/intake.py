"""Handing a message to the daemon, on its listener for the console, and what it answered.

A client of SMTP for one message: no retry, no decision. It says by XCLIENT for whom it speaks, and by XONCE that the
message is to be taken once (`relayd.receiver.console`). All checks are those of any client's mail.

Three ways in which it does not come off are told apart. The daemon refuses, for good or for now: it has not taken the
message. It cannot be reached: nor has it then. It does not answer after the final dot: nobody knows, so the same message
has to be given again with the same key.

Source: RFC 5321 §3.3; RFC 2920 §3.1 (MAIL, RCPT and DATA in one group); Postfix XCLIENT_README.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from relayd.errors import ReplySyntaxError
from relayd.mail.address import Address
from relayd.mail.header import header_end
from relayd.mail.once import Once
from relayd.mail.reply import Reply
from relayd.net.smtp.replies import ReplyReader
from relayd.net.smtp.stuffing import stuffed_blocks

STEP = 30.0  # seconds for a reply before the content
DOT = 60.0  # seconds for the reply to the final dot: a commit has 30 to begin (S-04), after the content check
_LEAVE = 1.0  # seconds for QUIT
_QUEUED = re.compile(r"2\.0\.0 OK queued as (\S+)( \(again\))?")
_KEY_USED = (550, "5.5.4")  # the daemon has no other refusal with both
_NO_XCHAR = re.compile(rb"[^!-*,-<>-~]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A message, and who gives it."""

    reverse_path: Address | None
    recipients: Sequence[Address]
    content: bytes  # CRLF lines
    client: str  # the address that it came from; empty: not known
    by: str  # as `relayd.policy.console.names` writes it
    once: Once | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was said to one RCPT."""

    recipient: Address
    reply: Reply

    @property
    def is_accepted(self) -> bool:
        return self.reply.is_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The message is in the queue, for those recipients that were accepted."""

    queue_id: str
    recipients: tuple[Answered, ...]
    came_before: bool  # with the same key


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """It is not, and will not be. `reply` is what was said to the message, or to the first recipient."""

    reply: Reply
    recipients: tuple[Answered, ...] = ()  # none: it did not come so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """It is not, and may be later."""

    reply: Reply
    recipients: tuple[Answered, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyUsed:
    """Another message came with this key."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No daemon took it: nothing is queued."""

    reason: str


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The daemon had all of it and did not answer: it is queued, or not (S-55)."""

    reason: str


Result = Queued | Refused | Postponed | KeyUsed | Unreachable | OutcomeUnknown


async def submit(path: str, message: Submission, *, step: float = STEP, dot: float = DOT) -> Result:
    """Hand a message over at the socket `path`. Never raises for what the daemon does."""
    try:
        async with asyncio.timeout(step):
            reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:  # TimeoutError is one
        return Unreachable(error.strerror or "no connection in time")
    session = _Session(reader, writer, step=step, dot=dot)
    try:
        return await session.hand_over(message)
    except _Leaving as leaving:
        return Postponed(reply=leaving.reply)
    except (OSError, EOFError, ReplySyntaxError) as error:
        reason = str(error) or "no answer in time"
        return OutcomeUnknown(reason) if session.has_sent_dot else Unreachable(reason)
    finally:
        await session.leave()


class _Leaving(Exception):
    """The daemon closes the session, and has not taken the message."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(str(reply))


class _Session:
    """A connection, for one message."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        step: float,
        dot: float,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._step, self._dot = step, dot
        self._replies = ReplyReader()
        self._heard: list[Reply] = []
        self.has_sent_dot = False

    async def hand_over(self, message: Submission) -> Result:
        for expected, line in (
            (220, b""),
            (250, b"EHLO relayd-console\r\n"),
            (220, _xclient(message)),
            (250, b"EHLO relayd-console\r\n"),
        ):
            reply = await self._ask(line)
            if reply.code != expected:
                return _failed(reply)
        mail, *answers, data = await self._ask_all(_envelope(message))
        if mail.code != 250:
            return KeyUsed() if (mail.code, mail.enhanced) == _KEY_USED else _failed(mail)
        recipients = tuple(
            Answered(recipient=recipient, reply=reply)
            for recipient, reply in zip(message.recipients, answers, strict=True)
        )
        if data.code != 354:
            return _nobody(recipients, data)
        return self._outcome(await self._send(message.content), recipients)

    def _outcome(self, reply: Reply, recipients: tuple[Answered, ...]) -> Result:
        """Say what the reply to the final dot means."""
        if (reply.code, reply.enhanced) == _KEY_USED:
            return KeyUsed()
        if reply.code != 250:
            return _failed(reply, recipients)
        queued = _QUEUED.fullmatch(reply.text)
        if queued is None:
            raise ReplySyntaxError(f"no queue id in the reply: {reply}")
        return Queued(queue_id=queued[1], recipients=recipients, came_before=queued[2] is not None)

    async def _send(self, content: bytes) -> Reply:
        for block, has_dot in stuffed_blocks(content):
            self.has_sent_dot = has_dot
            self._writer.write(block)
            async with asyncio.timeout(self._dot):
                await self._writer.drain()
        return await self._answer(self._dot)

    async def _ask(self, line: bytes) -> Reply:
        [reply] = await self._ask_all([line])
        return reply

    async def _ask_all(self, lines: Sequence[bytes]) -> list[Reply]:
        """Send lines as one group; return a reply to each."""
        self._writer.write(b"".join(lines))
        return [await self._answer(self._step) for _ in lines]

    async def _answer(self, within: float) -> Reply:
        """Return the next reply. Raises OSError (TimeoutError), EOFError, ReplySyntaxError, _Leaving."""
        async with asyncio.timeout(within):
            while not self._heard:
                octets = await self._reader.read(65536)
                if not octets:
                    raise EOFError("the daemon closed the connection")
                self._heard += self._replies.read(octets)
        reply = self._heard.pop(0)
        if reply.code == 421:
            raise _Leaving(reply)
        return reply

    async def leave(self) -> None:
        with suppress(OSError):
            self._writer.write(b"QUIT\r\n")
            self._writer.close()
            async with asyncio.timeout(_LEAVE):
                await self._writer.wait_closed()


def _failed(reply: Reply, recipients: tuple[Answered, ...] = ()) -> Refused | Postponed:
    kind = Refused if reply.is_permanent else Postponed
    return kind(reply=reply, recipients=recipients)


def _nobody(recipients: tuple[Answered, ...], data: Reply) -> Refused | Postponed:
    """No recipient was accepted, or DATA was refused: later, if that can change for any of them."""
    refusals = [each.reply for each in recipients if not each.is_accepted]
    if len(refusals) < len(recipients):
        return _failed(data, recipients)
    for_now = next((each for each in refusals if not each.is_permanent), None)
    return _failed(for_now or refusals[0], recipients)


def _xclient(message: Submission) -> bytes:
    address = f"IPV6:{message.client}" if ":" in message.client else message.client
    login = _NO_XCHAR.sub(lambda found: b"+%02X" % ord(found[0]), message.by.encode())
    return b"XCLIENT ADDR=%b LOGIN=%b\r\n" % (address.encode() or b"[UNAVAILABLE]", login)


def _envelope(message: Submission) -> list[bytes]:
    """Return MAIL, a RCPT for each recipient, and DATA."""
    addresses = [*message.recipients, *filter(None, [message.reverse_path])]
    words = [f"MAIL FROM:<{message.reverse_path or ''}>", *_parameters(message, addresses)]
    rcpt = (f"RCPT TO:<{each}>" for each in message.recipients)
    return [f"{line}\r\n".encode() for line in (" ".join(words), *rcpt, "DATA")]


def _parameters(message: Submission, addresses: Sequence[Address]) -> Iterator[str]:
    content = message.content
    yield f"SIZE={len(content)}"
    if not content.isascii():
        yield "BODY=8BITMIME"
    if not (all(each.is_ascii for each in addresses) and content[: header_end(content)].isascii()):
        yield "SMTPUTF8"
    if message.once is not None:
        yield f"XONCE={message.once.key.hex()}.{message.once.body.hex()}"

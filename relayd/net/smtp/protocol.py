"""The wire of an outbound SMTP session: commands out, their replies in, one deadline.

Owns which reply belongs to which command, the timers, and why a session broke. Leaves the grammar
of replies to `replies`, and what they mean to `session` and `transaction`.

Built on aiosmtplib's protocol, but its reading is replaced: it takes the next line for the next
answer whatever was asked (HC-01).

Invariants:
- A reply is expected from the same step on in which its command is written. The first complete one
  is the answer, however the octets were cut into segments; whatever comes beyond the last answer
  ends the session and takes nothing back (A-46). So no reply waits for a command of later (HC-01).
- The first failure stays. After it nothing is written and nothing is read.
- One coroutine at a time uses a session, so that one future and one timer are enough.

Sources: RFC 5321 §3.8 (421), §4.5.3.2 (timers); RFC 2920 §3.1 (order of replies).
"""

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from aiosmtplib.protocol import SMTPProtocol

from relayd.errors import ReplySyntaxError
from relayd.mail.attempt import Breakdown
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Category, Fault
from relayd.net.smtp.replies import ReplyReader
from relayd.net.smtp.tls import tls_failure
from relayd.policy.tls.ladder import TlsEvent, TlsFailure
from relayd.trace import Trace, reply_lines

_CHUNK = 64 * 1024  # octets

_WAITED_FOR = {stage: f"answer to {stage.upper()}" for stage in Stage} | {
    Stage.GREETING: "greeting",
    Stage.DOT: "answer to the final dot",
}

# First digits that cannot answer a command: then replies and commands are out of step.
_IMPOSSIBLE = dict.fromkeys(Stage, (3,)) | {Stage.DATA: (2,), Stage.AUTH: ()}

# A server that leaves: in place of an answer, or behind one.
_LEAVING = ("421", "221")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """How long to wait for what, in seconds (S-46, RFC 5321 §4.5.3.2)."""

    connect: float = 30  # TCP; also STARTTLS, and a TLS handshake
    greeting: float = 300
    remark: float = 3  # after so much of it `relayd status show` says so
    notice: float = 30  # and then the log
    command: float = 300  # EHLO, AUTH, MAIL, RCPT, each
    data: float = 120
    block: float = 180  # each block of content
    dot: float = 600
    quit: float = 5
    refused: float = 1  # QUIT to a host that does not let us in, while the next one waits

    limits: Mapping[Stage, float] = field(init=False, repr=False, compare=False)
    """How long the answer at each stage may take."""

    def __post_init__(self) -> None:
        limits = dict.fromkeys(Stage, self.command) | {
            Stage.GREETING: self.greeting,
            Stage.STARTTLS: self.connect,
            Stage.DATA: self.data,
            Stage.DOT: self.dot,
        }
        object.__setattr__(self, "limits", limits)  # made once, and not for each connection


class RelayProtocol(SMTPProtocol):
    """One connection to a next hop, from the greeting on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timers: Timers) -> None:
        super().__init__(loop=loop)
        self.trace: Trace | None = None  # of who looks on
        self.failure: Breakdown | None = None
        self.failed_at = Stage.GREETING  # whose answer was missing, or the latest of all
        self.out_of_step = False  # a reply too many: those before it may answer earlier commands
        self._wire: asyncio.Transport
        self._reader = ReplyReader()
        self._awaited: deque[Stage] = deque()  # commands written, answers still to come
        self._latest = Stage.GREETING
        self._dot_left = False  # of the content that was sent last
        self._replies: list[Reply] = []  # answers not yet taken
        self._wanted = 1  # how many answers wake the coroutine
        self._waiter: asyncio.Future[None] | None = None
        self._blocked = False  # in the middle of the content, waiting for room
        self._limits = timers.limits
        self._block_limit = timers.block
        self._limit = 0.0  # seconds given to what is waited for now
        self._deadline: float | None = None  # loop time
        self._timer: asyncio.TimerHandle | None = None

    # What a session uses

    @property
    def is_idle(self) -> bool:
        """Sound, and nothing outstanding in either direction."""
        return self.failure is None and not self._awaited and self.is_connected

    @property
    def is_after_dot(self) -> bool:
        """The server may have the message that was sent last."""
        return self._dot_left and self._latest is Stage.DOT

    def expect(self, data: bytes, stages: Sequence[Stage]) -> None:
        """Write commands; from now on one reply per stage is expected. A broken session is silent."""
        if self.failure is None:
            self._awaited.extend(stages)
            self._latest = stages[-1]
            self._start(self._limits[stages[0]])
            if self.trace is not None:
                self.trace.command("smtp_sent", data)
            self._wire.write(data)

    async def answers(self, count: int) -> list[Reply]:
        """Take the next `count` replies; fewer when the session ended before: `failure` says why."""
        await self.ready(count)
        replies, self._replies = self._replies, []
        return replies

    async def ready(self, count: int) -> None:
        """Wait until so many replies are there to be taken, or the session ended."""
        self._wanted = count
        while len(self._replies) < count and self.failure is None:
            self._waiter = self._loop.create_future()
            await self._waiter

    async def send_content(self, blocks: Iterable[tuple[bytes, bool]]) -> bool:
        """Write `(block, has_dot)` one by one at the peer's speed; return True if the dot left.

        False: the session broke, or the final reply came before its time (A-44). Either way the
        reply, if any, is for the caller to take with `answers`.
        """
        self._awaited.append(Stage.DOT)
        self._latest = Stage.DOT
        self._dot_left = False
        self._wanted = 1
        for block, has_dot in blocks:
            if self.failure is not None or self._replies:
                return False
            self._dot_left = has_dot
            self._wire.write(block)
            if not has_dot or self._paused:
                await self._drain()
        if self._awaited:
            self._start(self._limits[Stage.DOT])
        return True

    async def upgrade(
        self, context: ssl.SSLContext, host: str, *, within: float
    ) -> TlsFailure | None:
        """Start TLS on this connection, at a moment when nothing is outstanding.

        Returns why that failed, if it did; the session is then broken. Raises Shortage.
        """
        if self.failure is not None:
            return TlsFailure(event=TlsEvent.NO_HANDSHAKE, reason=self.failure.reason)
        wire = None
        try:
            wire = await self._loop.start_tls(
                self._wire, self, context, server_hostname=host, ssl_handshake_timeout=within
            )
            if wire is None:  # asyncio's way of saying that the peer hung up
                raise ConnectionResetError
        except (OSError, ValueError) as exc:  # ValueError: a name that TLS cannot carry
            failure = tls_failure(exc)
            self.fail(failure.reason, Category.TLS_FAILURE)
            return failure
        finally:
            if wire is None:
                self.release()  # `connection_lost` may never be called
        self.transport = self._wire = wire
        self._over_ssl = True
        return None

    def violate(self, what: str) -> None:
        """Break the session because the peer broke the protocol."""
        self.fail(what, Category.PROTOCOL_ERROR)

    def fail(
        self,
        reason: str,
        category: Category = Category.CONNECTION_FAILURE,
        *,
        at: Stage | None = None,  # None: where we are
        by_stop: bool = False,
    ) -> None:
        """Break the session; only the first reason counts. `by_stop`: this is no fault of the server."""
        if self.failure is not None:
            return
        self.failed_at = at or (self._awaited[0] if self._awaited else self._latest)
        fault = Fault.LOCAL if by_stop else Fault.PEER
        self.failure = Breakdown(category=category, fault=fault, reason=reason, by_stop=by_stop)
        self._deadline = None
        if self.trace is not None:
            self.trace.tell("connection_ended", reason=reason, stage=self.failed_at.value)
        self._wire.abort()
        self._wake()

    async def wait_closed(self) -> None:
        """Wait until the socket of a broken session is closed; a matter of a turn of the loop."""
        await self._closed_future

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._awaited.append(Stage.GREETING)
        self._start(self._limits[Stage.GREETING])

    def data_received(self, data: bytes) -> None:
        if self.failure is not None:
            return
        outstanding = len(self._awaited)
        try:
            for reply in self._reader.read(data):
                if not self._take(reply):
                    return
        except ReplySyntaxError as error:
            self.violate(str(error))
            return
        if not self._awaited:
            self._deadline = None
            if self._reader.rest:
                self._unasked(self._reader.rest.decode("ascii", "replace"))
        elif len(self._awaited) < outstanding and not self._blocked:
            self._start(self._limits[self._awaited[0]])
        if len(self._replies) >= self._wanted:
            self._wake()

    def eof_received(self) -> bool:
        self._lose("connection closed by the server")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self._over_ssl:
            self._hear_the_last()
        number = exc.errno if isinstance(exc, OSError) else None
        self._lose(os.strerror(number).lower() if number else "connection closed by the server")
        super().connection_lost(exc)
        self.release()

    def _hear_the_last(self) -> None:
        """Read what came before a write failed: a server may refuse content and hang up at once (A-44).

        A yes would be one to content that had not left (S-57). Under TLS none of it is to be had; the
        next attempt hears it.
        """
        known = len(self._replies)
        number = self._wire.get_extra_info("socket").fileno()
        with suppress(OSError):
            while self.failure is None and (data := os.read(number, _CHUNK)):
                self.data_received(data)
        if self._latest is Stage.DOT and any(each.is_positive for each in self._replies[known:]):
            del self._replies[known:]

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wake()

    def _take(self, reply: Reply) -> bool:
        """Note the answer to the oldest command; return False when the session is over.

        421 and 221 are a server that leaves, whatever it was asked (S-15). 221 is no answer: it
        must not pass for the 2yz that takes a message.
        """
        if self.trace is not None:
            self.trace.reply("smtp_received", reply_lines(reply))
        if not self._awaited:
            self.out_of_step = str(reply.code) not in _LEAVING
            self._unasked(str(reply))
            return False
        stage = self._awaited[0]
        if reply.code == 421:
            self._replies.append(reply)
        if str(reply.code) in _LEAVING:
            self._lose(f"the server said {reply.code}")
            return False
        if reply.code // 100 in _IMPOSSIBLE[stage]:
            self.out_of_step = True
            self.violate(f"{reply.code} in answer to {stage.upper()}")
            return False
        self._replies.append(reply)
        self._awaited.popleft()
        return True

    def _unasked(self, words: str) -> None:
        """End the session for what answers nothing."""
        if any(code.startswith(words[:3]) for code in _LEAVING):
            self._lose(f"the server said {words[:3]} unasked")
        else:
            self.violate(f"a reply that nobody asked for: {words[:100].rstrip()}")

    def _lose(self, reason: str) -> None:
        if self._blocked:
            reason += ", sending the content"
        elif self._awaited:
            reason += f", waiting for the {_WAITED_FOR[self._awaited[0]]}"
        self.fail(reason)

    def release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closed_future.done():
            self._closed_future.set_result(None)

    # Waiting

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _drain(self) -> None:
        """Wait until the peer took most of what was written, or answers already."""
        self._blocked = True
        self._start(self._block_limit)
        await asyncio.sleep(0)  # lets a reply in also while the peer keeps up
        while self._paused and not self._replies and self.failure is None:
            self._waiter = self._loop.create_future()
            await self._waiter
        self._blocked = False

    def _start(self, seconds: float) -> None:
        """Set the deadline of what is waited for from now on.

        A timer that goes off early enough is left alone and looks again then: in a steady flow
        of commands the loop's heap is not touched.
        """
        if self.failure is not None:
            return
        self._limit = seconds
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif self._blocked:
            self.fail(f"the server took no content for {self._limit:g} s")
        else:
            self.fail(f"no {_WAITED_FOR[self._awaited[0]]} within {self._limit:g} s")

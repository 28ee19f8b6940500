"""One client's connection: octets in, complete command lines to the machine, replies out.

Owns buffering, deadlines and closing; knows nothing of what a command means. Driven by callbacks alone:
no task, no stream reader, one write for the replies of a pipelined group.

Source: RFC 5321 §4.5.3; RFC 2920.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from aiosmtpd.smtp import SMTP

from relayd.mail.lenient import Leniency
from relayd.policy.intake.origin import Origin
from relayd.policy.intake.places import Whose
from relayd.receiver import hello
from relayd.receiver.client import ClientState
from relayd.receiver.context import SessionContext
from relayd.receiver.dialogue import Dialogue
from relayd.receiver.lines import COMMAND_LIMIT, LineInput, NoLine
from relayd.receiver.machine import Machine
from relayd.receiver.session_trace import SessionTrace
from relayd.receiver.states import READS_LINES, State
from relayd.receiver.tls import ServerTls
from relayd.receiver.work import Spawn, Work
from relayd.trace import tracing

COMMAND_TIMEOUT = 300.0  # seconds, RFC 5321 §4.5.3.2.7
DATA_TIMEOUT = 180.0  # seconds without a single octet of content
DATA_RATE = 500  # octets of content a second, on the average; a slower client holds a slot (S-46)
LINGER = 30.0  # seconds for a last reply to be taken
HANDSHAKE_TIMEOUT = 30.0  # seconds
_LAST_WORD = 1.0  # seconds for who has to give way: its place is somebody else's already
TOO_MANY = b"421 4.7.0 Too many connections, try again later\r\n"
_OTHERS = b"421 4.7.0 Idle, and others need the room\r\n"
_STOPPING = b"421 4.3.2 Shutting down, try again soon\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a connection asks of the worker."""

    loop: asyncio.AbstractEventLoop
    spawn: Spawn  # for what cannot be done at once
    on_changed: Callable[["Wire", Whose], bool]  # its client is another now; False: no place for it
    on_close: Callable[["Wire"], None]


class Wire(SMTP):
    """The transport side of a session, which owns its machine.

    A subclass of aiosmtpd's `SMTP` that leaves its loop, reader and parsers unused (HD-01, HD-08,
    HD-11, HD-19). Its constructor alone costs hundreds of calls for each connection.
    """

    def __init__(self, context: SessionContext, surroundings: Surroundings, origin: Origin) -> None:
        self.loop = surroundings.loop
        self.client = ClientState(context.listener, origin)
        self._surroundings = surroundings
        self._dialogue = Dialogue(context, self.client)
        self._machine = Machine(self._dialogue)
        self._work = Work(self, self._machine, context, surroundings.spawn)
        self._wire: asyncio.Transport | None = None
        self._input = LineInput(takes_bare_lf=Leniency.BARE_LF in context.listener.lenient)
        self._trace: SessionTrace | None = None  # since somebody looked on
        self._deadline = 0.0
        self._since = self.loop.time()  # the latest that the client did, or that was done for it
        self._is_heard = True  # the client takes its replies
        self._data_since = 0.0
        self._received = 0  # octets of the content on the wire
        self._is_shaking_hands = False
        self._at_eof = False
        self._stopping = False
        self._is_finished = False  # the last reply is on its way
        self._lost = False
        self._on_heard: Callable[[], None] | None = None  # the client has read our last reply

    # --- what the transport calls ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.client.tls_version = _tls_version(transport)
        self.client.peer = transport.get_extra_info("peername")
        self._since = self.loop.time()
        self._deadline = self._since + COMMAND_TIMEOUT
        self._timer = self.loop.call_at(self._deadline, self._check_deadline)
        if self._stopping:
            self.close_with(_STOPPING)
        else:
            greeting = hello.greeting(self._dialogue)
            self._wire.write(greeting)
            if tracing.is_on:
                self._seen().greeting(greeting)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 -- the base's name
        if self._lost:
            return  # a handshake that fails may or may not bring us here first
        self._lost = self._is_finished = True
        self._timer.cancel()
        self._wire = None
        self._dialogue.close(b"")
        self._surroundings.on_close(self)
        del self._work  # it has us: what the client has filled is let go of at once, not when a collector comes by

    def eof_received(self) -> bool:
        """The client will send no more; a message that is being committed still gets its reply."""
        if self._lost:
            return False
        if self._on_heard is not None:
            self._hear()
        self._at_eof = True
        if self._dialogue.state is not State.HELD or self._work.needs_client:
            return False
        return self.client.tls_version is None  # TLS has no half-closed state

    def pause_writing(self) -> None:
        """The client does not read its replies: do not listen to it either (A-04)."""
        self._is_heard = False
        if self._wire is not None:
            self._wire.pause_reading()

    def resume_writing(self) -> None:
        self._is_heard = True
        if self._wire is not None:
            self._wire.resume_reading()

    def data_received(self, data: bytes) -> None:
        dialogue = self._dialogue
        if dialogue.state is State.CLOSING:
            return
        if self._on_heard is not None:
            self._hear()
        content = dialogue.content
        if content is None:
            self._input.octets += data
        else:
            self._received += len(data)
            rest = content.feed(data)
            if rest is None:
                self.restart_clock()
                if content.is_hopeless:
                    self._machine.content_hopeless()
                    self._finish()
                return
            self._input.octets += rest
            effect = self._machine.content_complete()
            if effect is not None:
                self._work.begin(effect)
            self.restart_clock()
        if dialogue.state is not State.HELD:
            self._read_commands()
        elif len(self._input.octets) > COMMAND_LIMIT and self._wire is not None:
            self._wire.pause_reading()

    # --- what the relay calls -------------------------------------------------------------

    @property
    def whose(self) -> Whose:
        """Say whom the connection belongs to."""
        return self.client.whose

    def stop(self) -> None:
        """The relay is going down: say so, unless a message is on its way in or being committed."""
        self._stopping = True
        if self._wire is not None and self._dialogue.state in READS_LINES:
            self.close_with(_STOPPING)

    @property
    def waits_since(self) -> float | None:
        """Return since when only the client's next step is waited for; None: we are at it, or it sends."""
        if self._is_shaking_hands or self._wire is None:
            return self._since
        return None if self._dialogue.state in (State.HELD, State.DATA) else self._since

    @property
    def has_begun(self) -> bool:
        """Tell whether the client has begun a message."""
        return self.client.mail is not None

    @property
    def sends_since(self) -> float | None:
        """Return since when content comes in, on the loop's clock; None: none does."""
        return self._data_since if self._dialogue.state is State.DATA else None

    def make_way(self) -> None:
        """Close in favour of others, who have the place already: say so, but wait for nothing."""
        if self._dialogue.state is State.CLOSING or self._is_shaking_hands:
            self.abort()
            return
        self.close_with(_OTHERS, within=_LAST_WORD)

    def abort(self) -> None:
        if self._wire is not None:
            self._wire.abort()

    # --- what the work under way calls ----------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Nothing can be said to the client any more."""
        return self._dialogue.state is State.CLOSING

    def hold(self) -> None:
        """Read nothing until `resume`."""
        if self._wire is not None:
            self._wire.pause_reading()

    def readmit(self, reply: bytes) -> None:
        """Say `reply` if the client has a place, now that it is another one."""
        self.client.judge()
        if not self._surroundings.on_changed(self, self.client.whose):
            self.close_with(TOO_MANY)
        elif reply and not self.is_over:
            self._dialogue.owed.append(reply)

    async def start_tls(self, tls: ServerTls) -> bool:
        """Answer what is owed in clear text, then shake hands; False: the connection is over.

        To be called after `hold`, when nothing is buffered (S-44).
        """
        if self._wire is None:
            return False
        self._flush()
        wire: asyncio.Transport | None = None
        self._is_shaking_hands = True
        try:
            with suppress(OSError):  # a failed handshake is the client's affair
                wire = await self.loop.start_tls(
                    self._wire,
                    self,
                    tls.context(),
                    server_side=True,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                )
        finally:
            self._is_shaking_hands = False
            if wire is None or wire.is_closing():  # uvloop returns it though we have aborted it
                self.abort()
                self.connection_lost(None)
        if wire is None or self._lost:
            return False
        self._wire = wire
        self.client.tls_version = _tls_version(wire)
        return True

    def resume(self) -> None:
        """What was waited for is over, its reply queued: go on with what has come in meanwhile."""
        if self._wire is None or self._is_finished:
            self._flush()
            return
        self.restart_clock()
        if self._is_heard:
            self._wire.resume_reading()
        self._read_commands()
        is_held = self._dialogue.state is State.HELD  # again, by what had come in
        if self._at_eof and not is_held and self._wire is not None:
            self._wire.close()

    def restart_clock(self) -> None:
        """A command has its time as a whole, content as long as it flows; a trickle is neither."""
        state = self._dialogue.state
        if state is State.CLOSING:
            return
        self._since = now = self.loop.time()
        if state is not State.DATA:
            self._deadline = now + COMMAND_TIMEOUT
        else:
            if not self._received:
                self._data_since = now
            at_this_rate = self._data_since + DATA_TIMEOUT + self._received / DATA_RATE
            self._deadline = min(now + DATA_TIMEOUT, at_this_rate)

    def when_heard(self, heard: Callable[[], None]) -> None:
        """Call `heard` once the client shows that it has read the next reply; where it cannot show it, never.

        Who waits for a reply sends nothing meanwhile. What had come in before shows nothing.
        """
        if not (self._input.octets or self._at_eof or self._is_finished or self._stopping):
            self._on_heard = heard

    # --- within ---------------------------------------------------------------------------

    def close_with(self, line: bytes, *, within: float = LINGER) -> None:
        """Send what is owed and `line`, then close; nothing more is read."""
        self._dialogue.close(line)
        self._finish(within)

    def _hear(self) -> None:
        """The client goes on, or leaves: it has read our reply, if all of that has left us."""
        heard, self._on_heard = self._on_heard, None
        if heard is not None and self._wire is not None and not self._wire.get_write_buffer_size():
            heard()

    def _finish(self, within: float = LINGER) -> None:
        """Send the last replies."""
        if self._is_finished:
            return
        self._since = self.loop.time()
        self._deadline = self._since + within
        self._timer.cancel()  # it would ring when the client's time for a command is over
        self._timer = self.loop.call_at(self._deadline, self._check_deadline)
        self._input.octets.clear()
        self._flush()
        self._is_finished = True
        if self._wire is not None:
            self._wire.close()

    def _read_commands(self) -> None:
        """Execute the complete commands that have come in, then answer all of them at once."""
        dialogue, octets, executed = self._dialogue, self._input.octets, False
        while dialogue.state in READS_LINES and (octets or self._stopping):
            if self._stopping:
                dialogue.close(_STOPPING)
                break
            try:
                line = self._input.take(is_answer=dialogue.state is State.AUTH)
            except NoLine as none:  # and there can be none any more
                dialogue.close(none.reply)
                break
            if line is None:
                break
            if self._input.ends_in_lf and not dialogue.ends_in_lf:
                dialogue.ends_in_lf = True
                dialogue.serve_leniently((Leniency.BARE_LF,))
            if tracing.is_on:
                self._seen().command(line)
            effect = self._machine.receive(line, is_followed=bool(octets))
            executed = True
            if effect is not None:
                self._work.begin(effect)
        if dialogue.state is State.CLOSING:
            self._finish()
            return
        self._flush()
        if executed:
            self._received = 0
            self.restart_clock()

    def _flush(self) -> None:
        """Send what is owed, if it can still be sent."""
        owed = self._dialogue.owed
        if owed and self._wire is not None and not self._is_finished:
            if tracing.is_on:
                self._seen().replies()
            self._wire.write(b"".join(owed))
        owed.clear()
        if self._trace is not None:
            self._trace.told = 0

    def _seen(self) -> SessionTrace:
        """Return what those are told who look on."""
        if self._trace is None:
            self._trace = SessionTrace(self._dialogue)
        return self._trace

    def _check_deadline(self) -> None:
        if self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._check_deadline)
        elif self._dialogue.state in (State.CLOSING, State.HELD):
            # It does not even take its last reply, or it can be told neither yes nor no:
            # nobody knows if the commit will happen (S-04, S-55).
            self.abort()
        else:
            self.close_with(b"421 4.4.2 Timeout, closing connection\r\n")


def _tls_version(transport: asyncio.BaseTransport) -> str | None:
    found = transport.get_extra_info("ssl_object")
    return None if found is None else str(found.version())

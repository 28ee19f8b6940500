"""One client's connection: octets in, complete command lines up, replies out.

Owns buffering, line discipline, deadlines and closing; knows nothing of what a command means.
Driven by callbacks alone: no task, no stream reader, one write for the replies of a pipelined
group.

Source: RFC 5321 §4.5.3; RFC 2920.
"""

import asyncio
import ssl
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from aiosmtpd.smtp import SMTP

from relayd.receiver.reader import DataReader
from relayd.trace import Subject, Trace, tracing
from relayd.trace.mask import Mask

COMMAND_LIMIT = 4096  # octets of a command line with its CRLF: 512 and room for every parameter
COMMAND_TIMEOUT = 300.0  # seconds, RFC 5321 §4.5.3.2.7
DATA_TIMEOUT = 180.0  # seconds without a single octet of content
DATA_RATE = 500  # octets of content a second, on the average; a slower client holds a slot (S-46)
LINGER = 30.0  # seconds for a last reply to be taken
HANDSHAKE_TIMEOUT = 30.0  # seconds
_LAST_WORD = 1.0  # seconds for who has to give way: its place is somebody else's already
TOO_MANY = b"421 4.7.0 Too many connections, try again later\r\n"
_OTHERS = b"421 4.7.0 Idle, and others need the room\r\n"
_STOPPING = b"421 4.3.2 Shutting down, try again soon\r\n"


class Wire(SMTP):
    """The transport side of a session.

    A subclass of aiosmtpd's `SMTP` that leaves its loop, reader and parsers unused (HD-01, HD-08,
    HD-11, HD-19). Its constructor alone costs hundreds of calls for each connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_close: Callable[["Wire"], None]) -> None:
        self.loop = loop
        self._on_close = on_close
        self._wire: asyncio.Transport | None = None
        self._input = bytearray()
        self._output: list[bytes] = []
        self._trace: Trace | None = None  # of who looks on, once somebody did
        self._told = 0  # of the replies in the output: how many those know
        self._deadline = 0.0
        self._since = loop.time()  # the latest that the client did, or that was done for it
        self._is_heard = True  # the client takes its replies
        self._data: DataReader | None = None  # set while content is being read
        self._data_since = 0.0
        self._received = 0  # octets of that content on the wire
        self._busy = False  # a commit or a check is under way: nothing is read on
        self._is_shaking_hands = False
        self._closing = False  # a last reply is on its way
        self._at_eof = False
        self._stopping = False
        self._lost = False
        self.tls_version: str | None = None  # such as TLSv1.3; None in clear text

    @property
    def line_limit(self) -> int:
        """How long the command line may be that comes next, in octets with its CRLF."""
        return COMMAND_LIMIT

    @property
    @abstractmethod
    def client_ip(self) -> str: ...

    @property
    @abstractmethod
    def greeting(self) -> bytes: ...

    @abstractmethod
    def execute(self, line: bytes) -> None:
        """Carry out one command line, given without its CRLF."""

    @abstractmethod
    def end_of_data(self) -> None:
        """The content in `_data` is complete."""

    @abstractmethod
    def data_hopeless(self) -> None:
        """The content in `_data` is too large even to wait for its end."""

    # --- what the transport calls ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.tls_version = _tls_version(transport)
        self._set_deadline()
        self._timer = self.loop.call_at(self._deadline, self._check_deadline)
        if self._stopping:
            self.close_with(_STOPPING)
        else:
            self._wire.write(self.greeting)
            if tracing.is_on:
                self._trace = self._new_trace(is_known=True)
                self._trace.reply("smtp_sent", self.greeting.decode().rstrip())

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 -- the base's name
        if self._lost:
            return  # a handshake that fails may or may not bring us here first
        self._lost = True
        self._timer.cancel()
        self._wire = None
        self._closing = True
        self._drop_data()
        self._on_close(self)

    def eof_received(self) -> bool:
        """The client will send no more; a message that is being committed still gets its reply."""
        self._at_eof = True
        return self._busy and self.tls_version is None  # TLS has no half-closed state

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
        if self._closing:
            return
        if self._data is None:
            self._input += data
        else:
            self._received += len(data)
            rest = self._data.feed(data)
            if rest is None:
                self._set_deadline()
                if self._data.is_hopeless:
                    self.data_hopeless()
                return
            self._input += rest
            self.end_of_data()
            self._set_deadline()
        if not self._busy:
            self._read_commands()
        elif len(self._input) > COMMAND_LIMIT and self._wire is not None:
            self._wire.pause_reading()

    # --- what the relay calls -------------------------------------------------------------

    def stop(self) -> None:
        """The relay is going down: say so, unless a message is on its way in or being committed."""
        self._stopping = True
        if self.is_idle:
            self.close_with(_STOPPING)

    @property
    def is_idle(self) -> bool:
        """No message is on its way in, and nothing is being worked on."""
        return self._wire is not None and not self._busy and self._data is None

    @property
    def waits_since(self) -> float | None:
        """Return since when only the client's next step is waited for; None: we are at it, or it sends."""
        if self._closing or self._is_shaking_hands or self._wire is None:
            return self._since
        return None if self._busy or self._data is not None else self._since

    @property
    def has_begun(self) -> bool:
        """Tell whether the client has begun a message."""
        return False

    @property
    def sends_since(self) -> float | None:
        """Return since when content comes in, on the loop's clock; None: none does."""
        return None if self._data is None or self._busy else self._data_since

    def make_way(self) -> None:
        """Close in favour of others, who have the place already: say so, but wait for nothing."""
        if self._closing or self._is_shaking_hands:
            self.abort()
            return
        self.close_with(_OTHERS, within=_LAST_WORD)

    def abort(self) -> None:
        if self._wire is not None:
            self._wire.abort()

    # --- what the session calls -----------------------------------------------------------

    def hold(self) -> None:
        """Read nothing until `resume`."""
        self._busy = True
        if self._wire is not None:
            self._wire.pause_reading()

    async def start_tls(self, context: ssl.SSLContext) -> bool:
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
                    context,
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
        self.tls_version = _tls_version(wire)
        return True

    def reply(self, line: bytes) -> None:
        """Queue a reply; it is sent when no complete command is left to execute."""
        self._output.append(line)

    def resume(self) -> None:
        """What was waited for is over, its reply queued: go on with what has come in meanwhile."""
        self._busy = False
        if self._wire is None or self._closing:
            self._output.clear()
            self._told = 0
            return
        self._set_deadline()
        if self._is_heard:
            self._wire.resume_reading()
        self._read_commands()
        if self._at_eof and self._wire is not None:
            self._wire.close()

    def close_with(self, line: bytes, *, within: float = LINGER) -> None:
        """Send what is owed and `line`, then close; nothing more is read."""
        if self._closing:
            return
        self._closing = True
        self._since = self.loop.time()
        self._deadline = self._since + within
        self._timer.cancel()  # it would ring when the client's time for a command is over
        self._timer = self.loop.call_at(self._deadline, self._check_deadline)
        self._drop_data()
        self._input.clear()
        self._output.append(line)
        self._flush()
        if self._wire is not None:
            self._wire.close()

    def _drop_data(self) -> None:
        """Let go of a message whose end has not come: it is nothing (E-24)."""
        if self._data is not None:
            self._data.discard()
            self._data = None

    def _read_commands(self) -> None:
        """Execute the complete commands that have come in, then answer all of them at once."""
        executed = False
        while not (self._busy or self._closing or self._data is not None):
            if self._stopping:
                self.close_with(_STOPPING)
                break
            line = self._next_line()
            if line is None:
                break
            if tracing.is_on:
                self._tell_replies()
                self._traced().command("smtp_received", line)
            self.execute(line)
            executed = True
        if self._output:
            self._flush()
        if executed:
            self._received = 0
            self._set_deadline()

    def _set_deadline(self) -> None:
        """A command has its time as a whole, content as long as it flows; a trickle is neither."""
        if self._closing:
            return
        self._since = now = self.loop.time()
        if self._data is None:
            self._deadline = now + COMMAND_TIMEOUT
        else:
            if not self._received:
                self._data_since = now
            at_this_rate = self._data_since + DATA_TIMEOUT + self._received / DATA_RATE
            self._deadline = min(now + DATA_TIMEOUT, at_this_rate)

    def _next_line(self) -> bytes | None:
        """Take a complete line from the input; None when there is none, or it cannot be one."""
        if self._input[:1] == b"\x16":
            self.close_with(b"554 5.5.1 No TLS handshake here\r\n")
            return None
        end = self._input.find(b"\n")
        if end < 0:
            if len(self._input) > self.line_limit:
                self.close_with(b"500 5.5.2 Line too long\r\n")
            return None
        limit = self.line_limit
        line = bytes(self._input[: end + 1])
        del self._input[: end + 1]
        if len(line) > limit:
            self.close_with(b"500 5.5.2 Line too long\r\n")
            return None
        if line[-2:] != b"\r\n" or line.count(b"\r") != 1:
            self.close_with(b"500 5.5.2 Lines end with CR LF\r\n")  # E-27: nothing is executed
            return None
        return line[:-2]

    def _flush(self) -> None:
        if tracing.is_on:
            self._tell_replies()
        if self._wire is not None:
            self._wire.write(b"".join(self._output))
        self._output.clear()
        self._told = 0

    def _tell_replies(self) -> None:
        """Tell who looks on what has been answered since the last time."""
        for reply in self._output[self._told :]:
            if reply:
                text = reply.decode(errors="replace").replace("\r\n", "\n").rstrip("\n")
                self._traced().reply("smtp_sent", text)
        self._told = len(self._output)

    def _traced(self) -> Trace:
        """Return the trace of this session; where it begins now, that may be in the midst of a login."""
        is_known = self._trace is not None and self._trace.era == tracing.era
        if self._trace is None or not is_known or self._trace.subject.client_ip != self.client_ip:
            self._trace = self._new_trace(is_known=is_known)
        return self._trace

    def _new_trace(self, *, is_known: bool) -> Trace:
        ip = self.client_ip
        mask = Mask(is_known=is_known)
        return Trace(Subject(client_ip=ip), mask, session=tracing.next_session(), client_ip=ip)

    def _check_deadline(self) -> None:
        if self.loop.time() >= self._deadline:
            if self._closing or self._busy:
                # It does not even take its last reply, or it can be told neither yes nor no:
                # nobody knows if the commit will happen (S-04, S-55).
                self.abort()
                return
            self.close_with(b"421 4.4.2 Timeout, closing connection\r\n")
            return
        self._timer = self.loop.call_at(self._deadline, self._check_deadline)


def _tls_version(transport: asyncio.BaseTransport) -> str | None:
    found = transport.get_extra_info("ssl_object")
    return None if found is None else str(found.version())

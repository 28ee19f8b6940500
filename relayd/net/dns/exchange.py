"""One question to one name server, over UDP or TCP.

Owns the sockets, and bounds what an answer costs us. dnspython takes up to thirteen seconds to
read 64 KB of hostile records, and nothing else runs meanwhile (A-62): so the counts in the header
are lowered before it reads, and the records behind them stay unread. The sockets are our own
because the library's own hand it every datagram whole, pay for a task per wait, and never hear
that a port is closed.

An answer counts if it comes from the address asked, to the port asked from, with the id and the
question of the query; all else is passed over while there is time (A-65, RFC 5452).

The AD bit of a name server that is not trusted means nothing, so it is taken out of its answers: it may
have been set on the way, or by a forwarder that checks nothing (RFC 6840 §5.8).

A name server that cannot read EDNS is asked again without it, and only so for a while. It may say
so (FORMERR, NOTIMP, BADVERS, or any error in an answer without EDNS), hang up, or keep silent.

Sources: RFC 1035 §4.1.1 (header), §4.2 (transports); RFC 6891 §6.1.3, §7 (EDNS refused).
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.nameserver
import dns.query
import dns.rcode

from relayd.ports.outward import Clock

RECORD_LIMIT = 50  # read of one answer
PLAIN_FOR = 900.0  # seconds in which a name server is not asked with EDNS again
_REFUSALS = (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)  # to EDNS, by whatever server
_HEADER = struct.Struct("!HHHHHH")

Exchange = Callable[[dns.message.QueryMessage, str, int], Awaitable[dns.message.Message]]


class Excess(Exception):
    """Is among the `errors` of a message of which some records were left unread."""


class BoundedNameserver(dns.nameserver.Do53Nameserver):
    """A name server as `dns.asyncresolver` wants it."""

    def __init__(self, address: str, port: int, clock: Clock, *, is_trusted: bool) -> None:
        super().__init__(address, port)
        self._clock = clock
        self.is_trusted = is_trusted
        self._plain_until = -inf  # monotonic

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109
        source: str | None,  # noqa: ARG002
        source_port: int,  # noqa: ARG002
        max_size: bool,  # noqa: FBT001
        backend: Any,  # noqa: ARG002
        one_rr_per_rrset: bool = False,  # noqa: ARG002, FBT001, FBT002
        ignore_trailing: bool = False,  # noqa: ARG002, FBT001, FBT002
    ) -> dns.message.Message:
        """Ask; by TCP if `max_size`. Raises dns.message.Truncated to be asked again by TCP."""
        answer = await self._answer(request, timeout, _by_tcp if max_size else _by_udp)
        if not self.is_trusted:
            answer.flags &= ~dns.flags.AD
        return answer

    async def _answer(
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109
        exchange: Exchange,
    ) -> dns.message.Message:
        plain = self._clock.monotonic() < self._plain_until
        try:
            async with asyncio.timeout(timeout):
                if plain:
                    return await exchange(_without_edns(request), self.address, self.port)
                return await self._ask(exchange, request)
        except (TimeoutError, asyncio.CancelledError) as exc:
            # Silence may be about EDNS, so the next question does without; or there is nobody.
            self._plain_until = -inf if plain else self._clock.monotonic() + PLAIN_FOR
            if isinstance(exc, TimeoutError):  # an OSError, so the library would not ask it again
                raise dns.exception.Timeout from exc
            raise

    async def _ask(
        self, exchange: Exchange, request: dns.message.QueryMessage
    ) -> dns.message.Message:
        """Ask with EDNS, and without if that is what the name server cannot cope with."""
        try:
            answer = await exchange(request, self.address, self.port)
        except (EOFError, ConnectionResetError):  # it takes connections, and hung up on this
            answer = None
        if answer is not None and not _refuses_edns(answer):
            return answer
        plain = await exchange(_without_edns(request), self.address, self.port)
        if answer is None or plain.rcode() != answer.rcode():
            self._plain_until = self._clock.monotonic() + PLAIN_FOR
        return plain


def _without_edns(request: dns.message.QueryMessage) -> dns.message.QueryMessage:
    """Return the same question with an id of its own."""
    asked = request.question[0]
    return dns.message.make_query(asked.name, asked.rdtype, asked.rdclass, flags=request.flags)


def _refuses_edns(answer: dns.message.Message) -> bool:
    """Tell whether EDNS may be what an answer complains of; who knows it answers with it."""
    rcode = answer.rcode()
    if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return False
    return answer.edns < 0 or rcode in _REFUSALS


async def _by_udp(request: dns.message.Message, host: str, port: int) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[dns.message.Message] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Listening(request, answer), remote_addr=(host, port)
    )
    try:
        transport.sendto(request.to_wire())
        return await answer
    finally:
        transport.close()


async def _by_tcp(request: dns.message.Message, host: str, port: int) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        wire = request.to_wire()
        writer.write(struct.pack("!H", len(wire)) + wire)
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        answer = read_answer(await reader.readexactly(size))
    finally:
        writer.close()
    if not request.is_response(answer):
        raise dns.query.BadResponse
    return answer


class _Listening(asyncio.DatagramProtocol):
    """Waits for the datagram that answers `request`."""

    def __init__(
        self, request: dns.message.Message, answer: "asyncio.Future[dns.message.Message]"
    ) -> None:
        self._request = request
        self._id = struct.pack("!H", request.id)
        self._answer = answer

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002 -- the socket is connected
        if self._answer.done() or data[:2] != self._id:  # a flood of guesses is not even parsed
            return
        try:
            message = read_answer(data)
        except dns.message.Truncated as cut:
            if self._request.is_response(cut.kwargs["message"]):
                self._answer.set_exception(cut)
        except Exception:  # noqa: BLE001 -- no message: somebody guesses, or the true one is to come
            return
        else:
            if self._request.is_response(message):
                self._answer.set_result(message)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


def read_answer(wire: bytes) -> dns.message.Message:
    """Return the message, with the first `RECORD_LIMIT` of its records.

    If there are more, an `Excess` is among its `errors`. Raises dns.message.Truncated and
    whatever else the library makes of malformed octets.
    """
    if len(wire) < _HEADER.size:
        raise dns.message.ShortHeader
    *start, questions, answers, authorities, additional = _HEADER.unpack_from(wire)
    counts, left = [], RECORD_LIMIT
    for count in (answers, authorities, additional):
        counts.append(min(count, left))
        left -= counts[-1]
    is_cut = counts != [answers, authorities, additional]
    if is_cut:
        wire = _HEADER.pack(*start, min(questions, 1), *counts) + wire[_HEADER.size :]
    message = dns.message.from_wire(wire, raise_on_truncation=True, ignore_trailing=is_cut)
    if is_cut:
        message.errors.append(dns.message.MessageError(Excess(), _HEADER.size))
    return message

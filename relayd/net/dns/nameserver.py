"""One name server: a question to it by UDP, or by TCP where that does not do.

The AD bit of a name server that is not trusted means nothing, so it is taken out of its answers: it may
have been set on the way, or by a forwarder that checks nothing (RFC 6840 §5.8).

A name server that cannot read EDNS is asked again without it, and only so for a while. It may say
so (FORMERR, NOTIMP, BADVERS, or any error in an answer without EDNS), hang up, or keep silent.

One that says nothing at all for the time of a question is asked after the others for a minute: each question would wait for
it. Then one question finds out if it answers again. Silence to one question, while it answers others, is about that question.
A trusted one keeps its place before those that are not.

Sources: RFC 1035 §4.2 (transports); RFC 6891 §6.1.3, §7 (EDNS refused); RFC 7766 (TCP).
"""

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable
from math import inf

from relayd.net.dns.datagrams import Datagrams
from relayd.net.dns.message import (
    BADVERS,
    FORMERR,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    Answer,
    Edns,
    Question,
    Truncated,
    build,
    read,
)
from relayd.net.dns.names import Malformed
from relayd.ports.outward import Clock
from relayd.settings import HostPort

PLAIN_FOR = 900.0  # seconds in which a name server is not asked with EDNS again
LAST_FOR = 60.0  # seconds in which one that was silent is asked after the others
_WELL_FOR = 3600.0  # seconds
_STREAMS = 100  # questions by TCP at once
_TICK = 0.001  # seconds by which a timer may be early
_REFUSALS = (FORMERR, NOTIMP, BADVERS)  # to EDNS, by whatever server
_LENGTH = struct.Struct("!H")


class Nameserver:
    """Who is asked."""

    def __init__(
        self, address: HostPort, clock: Clock, *, try_for: float, is_trusted: bool
    ) -> None:
        self.address = address
        self.is_trusted = is_trusted  # may be taken back at any time
        self._clock = clock
        self._try_for = try_for  # seconds
        self._datagrams = Datagrams(address.host, address.port)
        self._plain_until = -inf  # monotonic
        self._answered_at = -inf  # by the loop's clock
        self._well_at = -inf  # the same, with an answer that is no error
        self._missed = 0  # short tries without an answer since the last one
        self._streams = asyncio.Semaphore(_STREAMS)
        self._last_until = -inf  # monotonic

    @property
    def is_silent(self) -> bool:
        """Tell whether it should be asked after the others."""
        return self._clock.monotonic() < self._last_until

    @property
    def does_well(self) -> bool:
        """Tell whether it has answered without an error in the last hour."""
        return asyncio.get_running_loop().time() - self._well_at < _WELL_FOR

    def begin(self) -> None:
        """Note that a question is asked here first: if this one was silent, the others that come meanwhile are not."""
        if self._last_until > -inf:
            self._last_until = self._clock.monotonic() + LAST_FOR

    @property
    def host(self) -> str:
        return self.address.host

    async def ask(
        self,
        question: Question,
        deadline: float,
        *,
        proofs: bool = False,
        within: float = inf,
    ) -> Answer:
        """Return its answer, by TCP if that is too long for a datagram.

        Takes `within` seconds at most, and no more than `try_for`; as many again by TCP; ends at the deadline, by the
        loop's clock. Raises TimeoutError; OSError or EOFError if it cannot be asked; Malformed
        if it says by TCP what is no answer.
        """
        loop = asyncio.get_running_loop()
        began, within = loop.time(), min(within, self._try_for)
        given = {"proofs": proofs, "is_long": within == self._try_for}
        try:
            try:
                until = min(began + within, deadline)
                answer = await self._ask(self._by_udp, question, until, **given)
            except Truncated:
                self._answered_at = loop.time()  # TCP may be stopped on the way
                until = min(loop.time() + within, deadline)
                answer = await self._ask(self._by_tcp, question, until, **given)
        except TimeoutError:
            if self._answered_at < began and loop.time() - began >= within - _TICK:
                self._missed += 1
                if given["is_long"] or self._missed > 1:  # a name may be slow to find
                    self._last_until = self._clock.monotonic() + LAST_FOR
            raise
        self._answered_at, self._last_until, self._missed = loop.time(), -inf, 0
        if answer.rcode in (NOERROR, NXDOMAIN):
            self._well_at = self._answered_at
        if not self.is_trusted:
            answer.is_authentic = False
        return answer

    async def _ask(
        self,
        exchange: "_Exchange",
        question: Question,
        until: float,
        *,
        proofs: bool,
        is_long: bool,
    ) -> Answer:
        """Ask with EDNS, and without if that is what the name server cannot cope with."""
        plain = self._clock.monotonic() < self._plain_until
        try:
            if plain:
                return await exchange(question, Edns.NONE, until)
            try:
                answer = await exchange(question, Edns.PROOFS if proofs else Edns.USED, until)
            except (EOFError, ConnectionResetError):  # it takes connections, and hung up on this
                answer = None
            if answer is not None and not _refuses_edns(answer):
                return answer
            without = await exchange(question, Edns.NONE, until)
        except TimeoutError:
            # Silence may be about EDNS, so the next question does without; or there is nobody. A short one says neither.
            if is_long:
                self._plain_until = -inf if plain else self._clock.monotonic() + PLAIN_FOR
            raise
        if answer is None or without.rcode != answer.rcode:
            self._plain_until = self._clock.monotonic() + PLAIN_FOR
        return without

    async def _by_udp(self, question: Question, edns: Edns, until: float) -> Answer:
        return await self._datagrams.ask(question, edns, until)

    async def _by_tcp(self, question: Question, edns: Edns, until: float) -> Answer:
        async with asyncio.timeout_at(until), self._streams:
            reader, writer = await asyncio.open_connection(self.host, self.address.port)
            try:
                id_ = os.urandom(2)
                query = build(question, id_, edns)
                writer.write(_LENGTH.pack(len(query)) + query)
                (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                wire = await reader.readexactly(size)
            finally:
                writer.close()
        if wire[: len(id_)] != id_:
            raise Malformed
        try:
            return read(wire, question)
        except Truncated:
            raise Malformed from None


_Exchange = Callable[[Question, Edns, float], Awaitable[Answer]]


def _refuses_edns(answer: Answer) -> bool:
    """Tell whether EDNS may be what an answer complains of; who knows it answers with it."""
    if answer.rcode in (NOERROR, NXDOMAIN):
        return False
    return not answer.has_edns or answer.rcode in _REFUSALS

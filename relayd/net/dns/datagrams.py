"""Questions to one name server by UDP, over few sockets with ports that nobody can foresee.

Owns the sockets. One is connected, so the system lets in only what comes from the address asked, and
tells when the port there is closed. It serves the questions that are asked at about the same time:
`_QUESTIONS` at most, within `_SECONDS`; then the next question opens another, at a port that the
system draws. It is closed when nobody waits for an answer any more.

So who forges answers without seeing questions has to guess the id (16 bits, drawn for each question)
and the port (about 15 bits) of one question, as if each had a socket of its own. What lasts longer is
a port that was found out some other way: it is of use for `_SECONDS` and the answers outstanding then, not for those of
one question. Equal questions are asked once at a time (`relayd.net.dns.resolver`), so there is no
birthday to be had.

An answer counts if its id and question are those of a query that waits; all else is passed over while
there is time (A-65).

Sources: RFC 5452 §4, §9; ADR 16.
"""

import asyncio
import os
import socket
from contextlib import suppress
from dataclasses import dataclass

from relayd.net.dns.message import Answer, Edns, Question, Truncated, build, read
from relayd.net.dns.names import Malformed

_QUESTIONS = 64
_SECONDS = 2.0
_LARGEST = 4096  # octets read of a datagram: more than was asked for


class Datagrams:
    """The sockets towards one name server."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._latest: _Socket | None = None

    async def ask(self, question: Question, edns: Edns, until: float) -> Answer:
        """Return the answer. Raises Truncated, OSError; TimeoutError at `until` by the loop's clock."""
        loop = asyncio.get_running_loop()
        latest = self._latest
        if latest is None or latest.is_used_up(loop.time()):
            latest = self._latest = _Socket(self._family, self._address, loop)
        return await latest.ask(question, edns, until)


@dataclass(slots=True)
class _Waiting:
    question: Question
    answer: "asyncio.Future[Answer]"


class _Socket:
    """A connected socket, and who waits for answers at it, by the ids of their queries."""

    def __init__(
        self, family: int, address: tuple[str, int], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._until = loop.time() + _SECONDS
        self._ids = _ids()
        self._waiting: dict[bytes, _Waiting] = {}
        opened = socket.socket(family, socket.SOCK_DGRAM)
        self._socket: socket.socket | None = opened
        try:
            opened.setblocking(False)  # noqa: FBT003 -- its only form
            opened.connect(address)
        except BaseException:
            opened.close()
            raise
        loop.add_reader(opened.fileno(), self._receive)

    def is_used_up(self, now: float) -> bool:
        return self._socket is None or not self._ids or now >= self._until

    async def ask(self, question: Question, edns: Edns, until: float) -> Answer:
        assert self._socket is not None
        id_ = self._ids.pop()
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[id_] = _Waiting(question, answer)
        timer = self._loop.call_at(until, self._give_up, answer)
        try:
            with suppress(BlockingIOError):  # full: a datagram that was lost
                self._socket.send(build(question, id_, edns))
            return await answer
        finally:
            timer.cancel()
            self._waiting.pop(id_, None)
            if not self._waiting:
                self._close()

    def _receive(self) -> None:
        """Take what is there: in a process that is short of the processor a turn of its loop takes long, and brings many answers."""
        for _ in range(len(self._waiting)):
            if self._socket is None:
                return
            try:
                wire = self._socket.recv(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                self._fail(exc)
                return
            self._take(wire)

    def _fail(self, exc: OSError) -> None:
        """The system says that nobody is there."""
        self._ids.clear()
        for each in self._waiting.values():
            if not each.answer.done():
                each.answer.set_exception(OSError(exc.errno, exc.strerror))

    def _take(self, wire: bytes) -> None:
        waiting = self._waiting.get(wire[:2])
        if waiting is None or waiting.answer.done():  # a flood of guesses is not even read
            return
        try:
            waiting.answer.set_result(read(wire, waiting.question))
        except Truncated as cut:
            waiting.answer.set_exception(cut)
        except Malformed:  # somebody guesses, or the true one is to come
            return

    def _give_up(self, answer: "asyncio.Future[Answer]") -> None:
        """The time of a question is over. Its answer may be there, if the last turn of the loop took long."""
        try:
            self._receive()
        finally:
            if not answer.done():
                answer.set_exception(TimeoutError())

    def _close(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None


def _ids() -> set[bytes]:
    """Return different ids of queries, drawn at once; chance leaves out one now and then."""
    drawn = os.urandom(2 * _QUESTIONS)
    return {drawn[at : at + 2] for at in range(0, len(drawn), 2)}

"""Taking connections from the listening sockets, in fair turns with the other workers.

Owns when to accept and when to leave it to others: a worker that has more clients than another (`accept_balance`)
lets that one go first for a moment, and no longer: one that is busy, stuck or gone keeps nobody waiting.
When the system gives us no connection, whatever it says, accepting pauses instead of spinning (HU-08, F-15).

Source: accept(2), which may also report an error that a connection had before it was accepted.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence

import structlog

from relayd.policy.seldom import Seldom
from relayd.receiver.accept_balance import AcceptShare
from relayd.receiver.context import SessionContext

Welcome = Callable[[socket.socket, object, SessionContext], None]
"""Gets a connection, the client's address as `accept` has it, and what sessions there share."""

_ACCEPTS_PER_WAKE = 16  # then the other connections, and the other workers, have their turn
_GIVE_WAY = 0.004  # seconds in which a worker with fewer clients can take the next one
_IN_VAIN = 3  # times in a row that nobody did
_UNBALANCED = 0.1  # seconds without regard for others after that
_PAUSE = 0.25  # seconds without accepting when that failed

log = structlog.get_logger()


class Acceptor:
    """Accepts on all listening sockets of one worker."""

    def __init__(
        self,
        listening: Sequence[tuple[socket.socket, SessionContext]],
        *,
        share: AcceptShare,
        welcome: Welcome,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = list(listening)
        self._share = share
        self._welcome = welcome
        self._in_vain = 0
        self._unbalanced_until = 0.0
        self._trouble = Seldom()

    @property
    def is_open(self) -> bool:
        """Connections are accepted, or will be."""
        return bool(self._sockets)

    def start(self) -> None:
        for sock, context in self._sockets:
            if sock.family != socket.AF_UNIX:
                # asyncio does not for a listener that was made without naming the protocol; uvloop does.
                # Linux gives each connection the option of its listener.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._loop.add_reader(sock, self._accept, sock, context)

    def stop(self) -> None:
        """Accept no more, for good. Clients that come where nobody else listens are refused, and do not wait in vain."""
        for sock, _ in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def _accept(self, sock: socket.socket, context: SessionContext) -> None:
        """Take the connections that wait, as long as no other worker should."""
        for _ in range(_ACCEPTS_PER_WAKE):
            if self._share.has_more() and self._loop.time() >= self._unbalanced_until:
                self._pause(sock, context, _GIVE_WAY)
                return
            if not self._accept_one(sock, context):
                return

    def _accept_one(self, sock: socket.socket, context: SessionContext) -> bool:
        try:
            connection, address = sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as exc:
            if self._trouble.is_due(self._loop.time()):
                listener = context.listener.address
                log.warning("accept_paused", fault="local", listener=listener, reason=exc.strerror)
            self._pause(sock, context, _PAUSE)
            return False
        self._welcome(connection, address, context)
        return True

    def _pause(self, sock: socket.socket, context: SessionContext, seconds: float) -> None:
        self._loop.remove_reader(sock)
        self._loop.call_later(seconds, self._resume, sock, context)

    def _resume(self, sock: socket.socket, context: SessionContext) -> None:
        """Look again; who waits here still was not taken by those who have fewer clients."""
        if (sock, context) not in self._sockets:
            return
        self._loop.add_reader(sock, self._accept, sock, context)
        if not self._share.has_more() or not self._accept_one(sock, context):
            self._in_vain = 0
            return
        self._in_vain += 1
        if self._in_vain >= _IN_VAIN:
            self._unbalanced_until = self._loop.time() + _UNBALANCED

"""Accepting connections: the loop, its limits, and an orderly end (R-02, R-15).

Several workers accept from the same listening sockets; the kernel hands each connection to one of
them. Limits hold per worker. When descriptors run out, accepting pauses instead of spinning
(HU-08, F-15).
"""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Sequence

import structlog

from relayd.ports import Clock
from relayd.receiver.intake import Intake
from relayd.receiver.session import Session, SessionContext
from relayd.receiver.wire import Wire
from relayd.settings import LimitSettings, ListenerSettings

_ACCEPTS_PER_WAKE = 16  # then the other connections, and the other workers, have their turn
_PAUSE = 0.25  # seconds without accepting when the system has no room
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TOO_MANY = b"421 4.7.0 Too many connections, try again later\r\n"
_EARLY = b"554 5.5.0 Spoke before the greeting\r\n"

log = structlog.get_logger()


class Receiver:
    """Serves all listeners of one worker. `start` it, and `stop` it before the store closes."""

    def __init__(
        self,
        listeners: Sequence[tuple[ListenerSettings, socket.socket]],
        *,
        fqdn: str,
        limits: LimitSettings,
        intake: Intake,
        clock: Clock,
        refuse_suppressed: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._sessions: set[Wire] = set()
        self._clients: Counter[str] = Counter()
        self._tasks: asyncio.TaskGroup | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._doors = [
            (
                sock,
                SessionContext(
                    fqdn=fqdn,
                    listener=listener,
                    limits=limits,
                    refuse_suppressed=refuse_suppressed,
                    intake=intake,
                    now=clock.now,
                    loop=self._loop,
                    on_close=self._closed,
                ),
            )
            for listener, sock in listeners
        ]

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to accept; connections are set up in `tasks`."""
        self._tasks = tasks
        for sock, context in self._doors:
            self._loop.add_reader(sock, self._accept, sock, context)

    async def hand_over(self, *, within: float) -> None:
        """Accept no more, and wait while the clients there are go on as they like."""
        self._close_doors()
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            log.info("clients_linger", sessions=len(self._sessions))

    def hurry(self) -> None:
        """Ask every client to leave that has no message on its way in."""
        for session in tuple(self._sessions):
            session.stop()

    def _close_doors(self) -> None:
        for sock, _ in self._doors:
            self._loop.remove_reader(sock)
        self._doors.clear()

    async def stop(self, *, within: float) -> None:
        """Accept no more, let messages on their way in finish, abort what is left after `within` seconds."""
        self._close_doors()
        self.hurry()
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            for session in tuple(self._sessions):
                session.abort()

    def _accept(self, sock: socket.socket, context: SessionContext) -> None:
        for _ in range(_ACCEPTS_PER_WAKE):
            try:
                connection, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in _NO_ROOM:
                    raise
                self._pause(sock, context, exc)
                return
            self._welcome(connection, address, context)

    def _pause(self, sock: socket.socket, context: SessionContext, exc: OSError) -> None:
        log.warning("accept_paused", listener=context.listener.address, reason=exc.strerror)
        self._loop.remove_reader(sock)
        self._loop.call_later(_PAUSE, self._resume, sock, context)

    def _resume(self, sock: socket.socket, context: SessionContext) -> None:
        if (sock, context) in self._doors:
            self._loop.add_reader(sock, self._accept, sock, context)

    def _welcome(self, connection: socket.socket, address: object, context: SessionContext) -> None:
        connection.settimeout(0)
        client_ip = str(address[0]) if isinstance(address, tuple) else ""
        if (
            len(self._sessions) >= self._limits.connections
            or self._clients[client_ip] >= self._limits.connections_per_client
        ):
            _turn_away(connection, _TOO_MANY)
        elif _speaks_early(connection):
            _turn_away(connection, _EARLY)
        else:
            session = Session(context, client_ip)
            self._sessions.add(session)
            self._clients[client_ip] += 1
            self._idle.clear()
            assert self._tasks is not None
            self._tasks.create_task(self._connect(session, connection))

    async def _connect(self, session: Session, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: session, connection)
        except OSError:
            connection.close()
            self._closed(session)
        except asyncio.CancelledError:  # this worker fails; uvloop has closed the transport
            self._closed(session)
            raise

    def _closed(self, session: Wire) -> None:
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        assert isinstance(session, Session)
        self._clients[session.client_ip] -= 1
        if not self._clients[session.client_ip]:
            del self._clients[session.client_ip]
        if not self._sessions:
            self._idle.set()


def _speaks_early(connection: socket.socket) -> bool:
    """Octets are there before our greeting: not SMTP, or smuggled in front of it (S-39)."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _turn_away(connection: socket.socket, line: bytes) -> None:
    try:
        connection.send(line)
    except OSError:
        pass  # it has left already
    finally:
        connection.close()

"""Who is let in: the limits on connections, what precedes a session, and an orderly end (R-02, R-15).

Several workers take connections from the same listening sockets (`accept`). Limits hold per worker.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Coroutine, Sequence

import structlog

from relayd.policy import admit
from relayd.ports.outward import Clock, ContentChecker
from relayd.receiver import proxy
from relayd.receiver.accept import Acceptor
from relayd.receiver.context import SessionContext
from relayd.receiver.doors import Door, lone_door
from relayd.receiver.intake import Intake
from relayd.receiver.session import Session
from relayd.receiver.tls import ServerTls
from relayd.receiver.users import Users
from relayd.receiver.wire import HANDSHAKE_TIMEOUT, Wire
from relayd.settings import LimitSettings, ListenerAuth, ListenerSettings, ListenerTls

_PROXY_TIMEOUT = 10.0  # seconds for a PROXY header
_TOO_MANY = b"421 4.7.0 Too many connections, try again later\r\n"
_NO_HEADER = b"421 4.7.0 PROXY header expected\r\n"
_EARLY = b"554 5.5.0 Spoke before the greeting\r\n"

log = structlog.get_logger()


class Receiver:
    """Serves all listeners of one worker. `start` it, and `stop` it before the store closes."""

    def __init__(  # noqa: PLR0913 -- what its sessions need
        self,
        listeners: Sequence[tuple[ListenerSettings, socket.socket]],
        *,
        fqdn: str,
        limits: LimitSettings,
        intake: Intake,
        clock: Clock,
        refuse_suppressed: bool = False,
        tls: ServerTls | None = None,
        users: Users | None = None,
        checker: ContentChecker | None = None,
        door: Door | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._door = lone_door() if door is None else door
        self._sessions: dict[Wire, str] = {}  # and whose they are: an address
        self._clients: Counter[str] = Counter()
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()  # handshakes and the like
        self._idle = asyncio.Event()
        self._idle.set()
        self._asking = 0  # proxies that have not said yet for whom they speak
        self._hurrying = False  # clients are asked to leave
        listening = [
            (
                sock,
                SessionContext(
                    fqdn=fqdn,
                    listener=listener,
                    limits=limits,
                    refuse_suppressed=refuse_suppressed,
                    tls=tls,
                    checker=checker,
                    users=None if listener.auth is ListenerAuth.OFF else users,
                    intake=intake,
                    now=clock.now,
                    loop=self._loop,
                    spawn=self._spawn,
                    on_moved=self._moved,
                    on_close=self._closed,
                ),
            )
            for listener, sock in listeners
        ]
        self._acceptor = Acceptor(listening, door=self._door, welcome=self._welcome)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to accept; connections are set up in `tasks`."""
        self._tasks = tasks
        self._tell()
        self._acceptor.start()

    async def hand_over(self, *, within: float) -> None:
        """Accept no more, and wait while the clients there are go on as they like."""
        self._close_door()
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            log.info("clients_linger", sessions=len(self._sessions))

    def hurry(self) -> None:
        """Ask every client to leave that has no message on its way in."""
        self._hurrying = True
        for session in tuple(self._sessions):
            session.stop()

    def _close_door(self) -> None:
        self._acceptor.stop()
        self._door.close()

    async def stop(self, *, within: float) -> None:
        """Accept no more, let messages on their way in finish, abort what is left after `within` seconds."""
        self._close_door()
        self.hurry()
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            for session in tuple(self._sessions):
                session.abort()
        for task in tuple(self._running):
            task.cancel()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        assert self._tasks is not None
        task = self._tasks.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _welcome(self, connection: socket.socket, address: object, context: SessionContext) -> None:
        connection.settimeout(0)
        client_ip = str(address[0]) if isinstance(address, tuple) else ""
        if admit.is_among(client_ip, context.listener.proxy_networks):
            self._asking += 1
            self._tell()
            self._spawn(self._ask_proxy(connection, client_ip, context))
        else:
            self._let_in(connection, client_ip, context)

    async def _ask_proxy(
        self, connection: socket.socket, proxy_ip: str, context: SessionContext
    ) -> None:
        """Learn from a proxy who the client is; without that nobody comes in."""
        try:
            async with asyncio.timeout(_PROXY_TIMEOUT):
                client_ip = await proxy.read_client(self._loop, connection)
        except (proxy.ProxyError, OSError) as error:  # TimeoutError is an OSError
            log.warning("proxy_refused", client_ip=proxy_ip, reason=str(error) or "no PROXY header")
            _turn_away(connection, _NO_HEADER)
        except BaseException:
            connection.close()
            raise
        else:
            self._let_in(connection, client_ip or proxy_ip, context)
        finally:
            self._asking -= 1
            self._tell()

    def _let_in(self, connection: socket.socket, client_ip: str, context: SessionContext) -> None:
        is_implicit = context.listener.tls is ListenerTls.IMPLICIT
        if not self._has_room(client_ip):
            _turn_away(connection, b"" if is_implicit else _TOO_MANY)
        elif not is_implicit and _speaks_early(connection):
            _turn_away(connection, _EARLY)
        else:
            session = Session(context, client_ip)
            if self._hurrying:
                session.stop()  # its proxy took its time to say who it is
            self._sessions[session] = client_ip
            self._clients[client_ip] += 1
            self._tell()
            self._idle.clear()
            self._spawn(self._connect(session, connection, context))

    def _has_room(self, client_ip: str) -> bool:
        if self._clients[client_ip] >= self._limits.connections_per_client:
            return False
        return len(self._sessions) < self._limits.connections or self._make_room(client_ip)

    def _make_room(self, client_ip: str) -> bool:
        """Send an idle session away of the client that has most, unless that is this one (A-01)."""
        greediest = max(self._clients, key=self._clients.__getitem__)
        if self._clients[greediest] <= self._clients[client_ip] + 1:
            return False
        idle = [
            session
            for session, whose in self._sessions.items()
            if whose == greediest and session.is_idle
        ]
        if not idle:
            return False
        longest = min(idle, key=lambda session: session.deadline)
        longest.make_way()
        self._closed(longest)  # its place is free, though it may take a while to be gone
        return True

    async def _connect(
        self, session: Session, connection: socket.socket, context: SessionContext
    ) -> None:
        tls = context.tls if context.listener.tls is ListenerTls.IMPLICIT else None
        try:
            if tls is None:
                await self._loop.connect_accepted_socket(lambda: session, connection)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: session,
                    connection,
                    ssl=tls.context(),
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                )
        except OSError:
            connection.close()
            self._closed(session)
        except asyncio.CancelledError:  # this worker fails; uvloop has closed the transport
            self._closed(session)
            raise

    def _moved(self, session: Wire, client_ip: str) -> None:
        """Count a session as another client's, whom its proxy speaks for."""
        self._count_out(self._sessions[session])
        self._sessions[session] = client_ip
        self._clients[client_ip] += 1

    def _closed(self, session: Wire) -> None:
        client_ip = self._sessions.pop(session, None)
        if client_ip is None:
            return
        self._count_out(client_ip)
        self._tell()
        if not self._sessions:
            self._idle.set()

    def _tell(self) -> None:
        """Let the other workers know how many clients are here."""
        if self._acceptor.is_open:
            self._door.tell(len(self._sessions) + self._asking)

    def _count_out(self, client_ip: str) -> None:
        self._clients[client_ip] -= 1
        if not self._clients[client_ip]:
            del self._clients[client_ip]


def _speaks_early(connection: socket.socket) -> bool:
    """Octets are there before our greeting: not SMTP, or smuggled in front of it (S-39)."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _turn_away(connection: socket.socket, line: bytes) -> None:
    try:
        if line:
            connection.send(line)
    except OSError:
        pass  # it has left already
    finally:
        connection.close()

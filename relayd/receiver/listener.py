"""The listeners of one worker: what precedes a session, and an orderly end.

Several workers take connections from the same listening sockets (`accept`). Who gets a place is
`admission`'s affair; here are the ways in, each of which a client can hold up, and from each of which
it can be sent away.
"""

import asyncio
import socket
from collections.abc import Coroutine, Sequence

import structlog

from relayd.policy.intake.origin import Origin
from relayd.policy.intake.places import Whose
from relayd.receiver import console, proxy
from relayd.receiver.accept import Acceptor
from relayd.receiver.accept_balance import AcceptShare, lone_share
from relayd.receiver.admission import Admission, Caller, Guest
from relayd.receiver.context import Service, SessionContext
from relayd.receiver.wire import HANDSHAKE_TIMEOUT, TOO_MANY, Surroundings, Wire
from relayd.settings import ListenerSettings, ListenerTls
from relayd.unix_peer import credentials

_PROXY_TIMEOUT = 10.0  # seconds for a PROXY header
_MOST_LEAVING = 64  # connections that have given their places up, and may still hear a last word
_NO_HEADER = b"421 4.7.0 PROXY header expected\r\n"
_EARLY = b"554 5.5.0 Spoke before the greeting\r\n"

log = structlog.get_logger()


class Receiver:
    """Serves all listeners of one worker. `start` it, and `stop` it before the store closes."""

    def __init__(
        self,
        listeners: Sequence[tuple[ListenerSettings, socket.socket]],
        service: Service,
        *,
        share: AcceptShare | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._share = lone_share() if share is None else share
        self._sessions: set[Wire] = set()
        self._arriving: dict[Guest, asyncio.Task[None]] = {}  # they cannot be told anything yet
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()  # handshakes and the like
        self._idle = asyncio.Event()
        self._idle.set()
        self._admission = Admission(service.limits, make_way=self._send_away, on_count=self._tell)
        self._surroundings = Surroundings(
            loop=self._loop,
            spawn=self._spawn,
            on_changed=self._admission.change,
            on_close=self._closed,
        )
        self._hurrying = False  # clients are asked to leave
        listening = [
            (sock, service.on(listener, self._admission.may_send)) for listener, sock in listeners
        ]
        self._acceptor = Acceptor(listening, share=self._share, welcome=self._welcome)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._admission)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to accept; connections are set up in `tasks`."""
        self._tasks = tasks
        self._acceptor.start()
        self._tell(len(self._admission))

    async def hand_over(self, *, within: float) -> None:
        """When no more are accepted: wait while the clients there are go on as they like."""
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

    def accept_no_more(self) -> None:
        """Close the listeners; those who are here stay."""
        self._acceptor.stop()
        self._share.close()

    async def stop(self, *, within: float) -> None:
        """Accept no more, let messages on their way in finish, abort what is left after `within` seconds."""
        self.accept_no_more()
        self.hurry()
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            for session in tuple(self._sessions):
                session.abort()
        for task in tuple(self._running):
            task.cancel()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        assert self._tasks is not None
        task = self._tasks.create_task(coroutine, name="session with a client")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _welcome(self, connection: socket.socket, address: object, context: SessionContext) -> None:
        connection.settimeout(0)
        origin = origin_of(connection, address)
        if context.listener.is_console and not console.may_connect(origin):
            log.warning("console_refused", listener=context.listener.address, uid=origin.uid)
            _turn_away(connection, console.STRANGER)
        elif origin.is_among(context.listener.proxy_networks):
            self._call_in(connection, origin, context)
        else:
            self._let_in(connection, origin, context)

    # --- behind a proxy -------------------------------------------------------------------------

    def _call_in(self, connection: socket.socket, origin: Origin, context: SessionContext) -> None:
        """Give a proxy a place until it has said who the client is."""
        caller = Caller(self._loop.time())
        whose = Whose(
            listener=context.listener.address,
            client=f"caller {connection.fileno()}",  # a busy proxy has many, each of somebody else
            site=f"proxy {origin.ip}",
            is_stranger=True,
        )
        if self._admission.admit(caller, whose):
            self._arriving[caller] = self._spawn(self._hear(caller, connection, origin, context))
        else:
            _turn_away(connection, _in_clear(TOO_MANY, context))

    async def _hear(
        self,
        caller: Caller,
        connection: socket.socket,
        proxy_origin: Origin,
        context: SessionContext,
    ) -> None:
        """Learn from a proxy who the client is; without that nobody comes in."""
        try:
            async with asyncio.timeout(_PROXY_TIMEOUT):
                client_ip = await proxy.read_client(self._loop, connection)
        except (proxy.ProxyError, OSError) as error:  # TimeoutError is an OSError
            reason = str(error) or "no PROXY header"
            log.warning("proxy_refused", client_ip=proxy_origin.ip, reason=reason)
            _turn_away(connection, _NO_HEADER)
        except BaseException:
            connection.close()
            raise
        else:
            self._admission.leave(caller)
            origin = Origin(ip=client_ip or proxy_origin.ip, is_known=client_ip is not None)
            self._let_in(connection, origin, context)
        finally:
            del self._arriving[caller]
            self._admission.leave(caller)

    # --- a client -------------------------------------------------------------------------------

    def _let_in(self, connection: socket.socket, origin: Origin, context: SessionContext) -> None:
        session = Wire(context, self._surroundings, origin)
        if not self._admission.admit(session, session.whose):
            _turn_away(connection, _in_clear(TOO_MANY, context))
        elif _in_clear(_EARLY, context) and _speaks_early(connection):
            self._admission.leave(session)
            _turn_away(connection, _EARLY)
        else:
            if self._hurrying:
                session.stop()  # its proxy took its time to say who it is
            self._sessions.add(session)
            self._idle.clear()
            self._arriving[session] = self._spawn(self._connect(session, connection, context))

    async def _connect(
        self, session: Wire, connection: socket.socket, context: SessionContext
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
        except asyncio.CancelledError:  # it gave way, or this worker fails; the transport is closed
            self._closed(session)
            raise
        finally:
            del self._arriving[session]

    def _send_away(self, guest: Guest) -> None:
        """End a connection whose place somebody else has now; in a moment, when its task has begun."""
        self._loop.call_soon(self._end, guest)

    def _end(self, guest: Guest) -> None:
        arriving = self._arriving.get(guest)
        if arriving is not None:
            arriving.cancel()
        elif isinstance(guest, Wire):
            leaving = len(self._sessions) + len(self._arriving) - len(self._admission)
            if leaving <= _MOST_LEAVING:
                guest.make_way()
            else:
                guest.abort()

    def _closed(self, session: Wire) -> None:
        self._admission.leave(session)
        self._sessions.discard(session)
        if not self._sessions:
            self._idle.set()

    def _tell(self, clients: int) -> None:
        """Let the other workers know how many clients are here."""
        if self._acceptor.is_open:
            self._share.tell(clients)


def origin_of(connection: socket.socket, address: object) -> Origin:
    """Say who is at the other end; `address` is what `accept` gave."""
    if isinstance(address, tuple):
        return Origin(ip=str(address[0]))
    uid, _ = credentials(connection)
    return Origin(uid=uid)


def _in_clear(line: bytes, context: SessionContext) -> bytes:
    """Return what can be said before a session; nothing where TLS would have to come first."""
    return b"" if context.listener.tls is ListenerTls.IMPLICIT else line


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

"""A worker whose store cannot be reached at the start: it says so to all who come, and tries again.

The listening sockets are the supervisor's, and open: without a word from here clients would wait in silence, and
`systemctl start` too. A client hears 421 in the place of the greeting (RFC 5321 §3.1, §4.2.3) and comes again; one that
begins with a TLS handshake is cut off. A command hears the reason. Nothing can be taken before the store has given this
worker its number, which is in each queue id.
"""

import asyncio
import random  # noqa: TID251 -- workers do not all come back in the same moment
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog

from relayd.control.protocol import encode
from relayd.errors import StoreUnavailable
from relayd.policy.seldom import Seldom
from relayd.settings import ListenerSettings, ListenerTls

T = TypeVar("T")

_FIRST, _LONGEST = 0.1, 5.0  # seconds between two tries
_PAUSE = 0.25  # seconds without accepting when that failed
_LINGER = 5.0  # seconds in which a command sends its request
_CLOSED = b"421 4.3.2 The queue cannot be reached now, try again later\r\n"

log = structlog.get_logger()


async def wait_for(
    ask: Callable[[], Awaitable[T]],
    *,
    store: str,
    first: StoreUnavailable,
    listeners: Sequence[tuple[ListenerSettings, socket.socket]],
    control: socket.socket | None,
) -> T:
    """Return what `ask` gives once it does, meanwhile turn away who comes to the sockets. `first` is why it did not.

    To be cancelled when the worker is to end. Raises what `ask` raises but StoreUnavailable, in a group.
    """
    room = _Room(reason=str(first))
    seldom, pause = Seldom(), _FIRST
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        doors = [
            tasks.create_task(
                room.keep(sock, room.nobody if each.tls is ListenerTls.IMPLICIT else room.client),
                name="clients turned away",
            )
            for each, sock in listeners
        ]
        if control is not None:
            refusing = room.keep(control, room.command)
            doors.append(tasks.create_task(refusing, name="commands refused"))
        try:
            while True:
                if seldom.is_due(loop.time()):
                    log.error("store_away", fault="local", store=store, reason=room.reason)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- keeps no secret
                pause = min(2 * pause, _LONGEST)
                try:
                    found = await ask()
                except StoreUnavailable as error:
                    room.reason = str(error)
                else:
                    log.info("store_back", store=store)
                    return found
        finally:
            for door in doors:
                door.cancel()


class _Room:
    """Who comes hears one line at most."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self._loop = asyncio.get_running_loop()

    async def keep(
        self, sock: socket.socket, hear: Callable[[socket.socket], Awaitable[None]]
    ) -> None:
        """Answer on one listening socket until cancelled."""
        sock.settimeout(0)  # another worker may be faster
        async with asyncio.TaskGroup() as guests:
            while True:
                try:
                    connection, _ = await self._loop.sock_accept(sock)
                except OSError:
                    await asyncio.sleep(_PAUSE)
                else:
                    guests.create_task(self._serve(connection, hear), name="somebody turned away")

    async def client(self, connection: socket.socket) -> None:
        await self._loop.sock_sendall(connection, _CLOSED)

    async def nobody(self, connection: socket.socket) -> None:
        """One that begins with a handshake could not read it: the end of the connection has to say it."""

    async def command(self, connection: socket.socket) -> None:
        """Its request is read to the end of its line: who sends it would else lose the answer."""
        while (chunk := await self._loop.sock_recv(connection, 4096)) and b"\n" not in chunk:
            pass
        reply = {"ok": False, "error": self.reason, "again": True}
        await self._loop.sock_sendall(connection, encode(reply))

    async def _serve(
        self, connection: socket.socket, hear: Callable[[socket.socket], Awaitable[None]]
    ) -> None:
        with connection, suppress(OSError, TimeoutError):
            connection.settimeout(0)
            async with asyncio.timeout(_LINGER):
                await hear(connection)

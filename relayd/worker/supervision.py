"""The line between a worker and its supervisor.

Out go READY, a beat each second while the loop turns, RELOAD, and LET_GO when the worker leaves and takes no more clients; before
all that UPGRADING, while the queue of an older relayd is brought up to date. In comes one line of JSON for each
RELOAD, when the new settings are in force or are not going to be.
"""

import asyncio
import os
import socket
from contextlib import suppress

from relayd.control.protocol import Message, decode
from relayd.errors import RelaydError

READY, BEAT, RELOAD, UPGRADING, LET_GO = b"R", b".", b"L", b"U", b"G"

_EVERY = 1.0  # seconds between heartbeats; `Timeouts.silence` is many of them
_CHUNK = 64 * 1024  # octets of a read: as much as a pipe holds


class Supervision:
    """A worker's end, for as long as the process lives."""

    def __init__(self, descriptor: int, parent_pid: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.settimeout(0)
        self._parent_pid = parent_pid
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None  # gets the answer to what is asked next
        self._unsaid = b""

    def close(self) -> None:
        self._socket.close()

    def ready(self) -> None:
        """Say that the worker is; with the next beat, when that cannot be said now."""
        self._say(READY)

    def let_go(self) -> None:
        """Say that it takes no more clients; with the next beat, when that cannot be said now."""
        self._say(LET_GO)

    async def beat(self, stopping: asyncio.Event) -> None:
        """Tell the supervisor that the loop turns; set `stopping` when it is gone."""
        while True:
            await asyncio.sleep(_EVERY)
            if os.getppid() != self._parent_pid:
                stopping.set()
                return
            self._say(BEAT)

    def _say(self, word: bytes) -> None:
        """Say it, and what could not be said before.

        The supervisor is slow, or gone, which the next look at the parent tells; or the system has
        no room.
        """
        if word not in self._unsaid:
            self._unsaid += word
        with suppress(OSError):
            self._socket.send(self._unsaid)
            self._unsaid = b""

    async def reload(self) -> Message:
        """Have the settings read again; return the answer. Raises RelaydError when none will come.

        A question is for settings that are read after it. So those that wait while one is asked
        share the next answer: however many come, nobody waits for more than two reloads.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(
                self._ask_in_turn(), name="requests to the supervisor"
            )
        return decode(await asyncio.shield(self._next))  # who leaves keeps others from no answer

    async def _ask_in_turn(self) -> bytes:
        async with self._turn:
            self._next = None
            return await self._ask()

    async def _ask(self) -> bytes:
        """Return the supervisor's line. Raises RelaydError."""
        loop = asyncio.get_running_loop()
        line = bytearray()
        try:
            await loop.sock_sendall(self._socket, RELOAD)
            while not line.endswith(b"\n"):
                chunk = await loop.sock_recv(self._socket, _CHUNK)
                if not chunk:
                    break
                line += chunk
        except OSError as error:
            raise RelaydError(f"the supervisor cannot be asked: {error.strerror}") from error
        if not line:
            raise RelaydError("the supervisor is gone")
        return bytes(line)

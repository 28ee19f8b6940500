"""Answer the control socket inside a worker.

Several workers share one bound, listening unix socket; the one that accepts answers. Owns who is let
in, the limits on size and time, and that a request which reached the store is carried to its end.
Nobody locks out others: a newcomer is heard at once, and if all places are taken, a connection of
the user with most of them leaves that has no change in hand (`relayd.policy.guests`). A question
waits for no change, and a reload keeps nobody waiting. Leaves what a verb does to
`relayd.control.verbs`, and the mode of the socket file to who bound it.

Cancelling `serve_control` stops accepting at once and returns when the requests in hand are
answered, so that no change is made in the store without its line in the status log.
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import structlog

from relayd.control import peer
from relayd.control.context import ControlContext, Lines
from relayd.control.peer import Peer
from relayd.control.protocol import REQUEST_LIMIT, BadMessage, Message, decode, encode
from relayd.control.verbs import admit, answer
from relayd.control.verbs.verb import Forbidden
from relayd.errors import (
    CommitUnknown,
    ContentLost,
    RelaydError,
    Shortage,
    StoreFull,
    StoreUnavailable,
    WrongField,
)
from relayd.policy.guests import Guests
from relayd.policy.seldom import Seldom
from relayd.unix_peer import credentials

_AT_ONCE = 32  # connections
_IN_HAND = 16  # changes that are carried out
_READ_FOR = 5.0  # seconds for the whole request line
_WRITE_FOR = 10.0  # seconds for the reply
_NO_DESCRIPTORS_PAUSE = 0.5  # seconds before accepting again after accept() failed (F-15)
_CHUNK = 64 * 1024

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What those who ask at one time share."""

    guests: Guests[asyncio.Task[None]]  # who serves each
    in_hand: asyncio.Semaphore
    following: set[asyncio.Task[None]]  # those whom nothing but leaving ends
    ended: asyncio.Event  # nobody is let in any more


async def serve_control(sock: socket.socket, context: ControlContext) -> None:
    """Answer requests on `sock`, a listening unix socket, until cancelled."""
    sock.settimeout(0)  # another worker may be faster: then accept() must not wait
    async with asyncio.TaskGroup() as requests:
        stopped = await _accept_all(sock, context, requests)
    raise stopped


async def _accept_all(
    sock: socket.socket, context: ControlContext, requests: asyncio.TaskGroup
) -> asyncio.CancelledError:
    """Start a task per connection until cancelled; return that, for the group to end in peace."""
    trouble = Seldom()
    room = Room(
        guests=Guests(_AT_ONCE),
        in_hand=asyncio.Semaphore(_IN_HAND),
        following=set(),
        ended=asyncio.Event(),
    )
    try:
        while True:
            connection = await _accept(sock, trouble)
            uid, _ = credentials(connection)
            guest = requests.create_task(
                _serve_one(connection, context, room), name="control request"
            )
            if (leaving := room.guests.take(guest, uid)) is not None:
                leaving.cancel()
            await asyncio.sleep(0)  # it begins before the next one can make it leave
    except asyncio.CancelledError as exc:
        room.ended.set()
        for follower in room.following:
            follower.cancel()
        return exc


async def _accept(sock: socket.socket, trouble: Seldom) -> socket.socket:
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = await loop.sock_accept(sock)
        except OSError as exc:
            if trouble.is_due(loop.time()):
                _log.warning("control_accept_failed", error=str(exc), fault="local")
            await asyncio.sleep(_NO_DESCRIPTORS_PAUSE)
        else:
            return connection


async def _serve_one(connection: socket.socket, context: ControlContext, room: Room) -> None:
    """One connection: who is it, one request, one reply."""
    loop = asyncio.get_running_loop()
    with connection:
        try:
            answer = await _reply_to(connection, context, room)
            reply = encode(answer if isinstance(answer, Mapping) else {"ok": True})
            room.guests.answer(_this_task())
            async with asyncio.timeout(_WRITE_FOR):
                await loop.sock_sendall(connection, reply)
            if not isinstance(answer, Mapping):
                await _pass_on(connection, answer, room)
        except (TimeoutError, OSError) as exc:
            _log.info("control_client_lost", error=str(exc) or "too slow", fault="peer")
        except Exception:  # noqa: BLE001 -- the one catch-all of this unit of work
            _log.exception("control_request_failed", fault="local")
        finally:
            room.guests.leave(_this_task())


async def _pass_on(connection: socket.socket, lines: Lines, room: Room) -> None:
    """Send lines until the client hangs up, or this worker leaves; then another one is asked."""
    if room.ended.is_set():  # while the question was read
        return
    loop = asyncio.get_running_loop()
    room.following.add(_this_task())
    try:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(
                lines.send_to(partial(loop.sock_sendall, connection)), name="trace: answer"
            )
            await loop.sock_recv(connection, 1)
            sending.cancel()
    except* OSError:
        pass  # it has gone
    except* (ContentLost, Shortage) as failed:
        reason = str(failed.exceptions[0])
        _log.warning("content_not_sent", reason=reason, fault="local")
    finally:
        room.following.discard(_this_task())


async def _reply_to(
    connection: socket.socket, context: ControlContext, room: Room
) -> Message | Lines:
    try:
        return await _carry_out(connection, context, room)
    except Forbidden as exc:
        return {**_refusal(str(exc)), "forbidden": True}
    except (Shortage, StoreUnavailable, StoreFull) as exc:
        return _refusal(str(exc), again=True)
    except CommitUnknown as exc:
        return _refusal(f"it is unknown whether the change was made: {exc}", again=True)
    except WrongField as exc:
        return {**_refusal(str(exc)), "where": exc.where}
    except (BadMessage, RelaydError) as exc:
        return _refusal(str(exc))


async def _carry_out(
    connection: socket.socket, context: ControlContext, room: Room
) -> Message | Lines:
    who = await _who(connection)
    async with asyncio.timeout(_READ_FOR):
        line = await _read_line(connection)
    if who is None:  # told behind its request: who still writes would find us gone
        return _refusal(
            "only root, the daemon's user, the socket's group and the console may do this"
        )
    verb, asked = await admit(decode(line), who, context)
    if not verb.is_change:
        return await answer(verb, asked)
    async with room.in_hand:
        room.guests.carry_out(_this_task())
        return await answer(verb, asked)


async def _who(connection: socket.socket) -> Peer | None:
    """Return who asks; None if they may not. Raises Shortage."""
    try:
        asked = asyncio.get_running_loop().run_in_executor(None, peer.admitted, connection)
    except RuntimeError as exc:  # the system gives us no thread
        raise Shortage(f"relayd cannot look you up now: {exc}") from exc
    return await asked


async def _read_line(connection: socket.socket) -> bytes:
    """Return the request up to its newline. Raises BadMessage if there is no whole one."""
    loop = asyncio.get_running_loop()
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = await loop.sock_recv(connection, _CHUNK)
        if not chunk:
            raise BadMessage("the request ends before its newline")
        line += chunk
        if len(line) > REQUEST_LIMIT:
            raise BadMessage(f"the request is longer than {REQUEST_LIMIT} octets")
    return bytes(line)


def _this_task() -> asyncio.Task[None]:
    return cast("asyncio.Task[None]", asyncio.current_task())


def _refusal(error: str, *, again: bool = False) -> Message:
    return {"ok": False, "error": error, "again": again}

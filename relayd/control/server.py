"""Answer the control socket inside a worker.

Several workers share one bound, listening unix socket; the one that accepts answers. Owns who is let
in, the limits on size and time, and that a request which reached the store is carried to its end.
Nobody locks out others: a newcomer is heard at once, and if all places are taken, a connection of
the user with most of them leaves that has no change in hand (`relayd.policy.guests`). A question
waits for no change, and a reload keeps nobody waiting. Leaves the meaning of the verbs to the
store, and the mode of the socket file to who bound it.

Cancelling `serve_control` stops accepting at once and returns when the requests in hand are
answered, so that no change is made in the store without its line in the status log.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol, cast

import structlog

import relayd
from relayd.answers.pauses import fields
from relayd.control import peer
from relayd.control.acts import act_from_json, acted_to_json, foreseen_to_json
from relayd.control.compact import compacted_to_json
from relayd.control.content import GONE, Parts, content_from_json
from relayd.control.pauses import (
    pauses_to_json,
    resume_from_json,
    rules_from_json,
)
from relayd.control.protocol import (
    REQUEST_LIMIT,
    BadMessage,
    Message,
    decode,
    encode,
    samples_to_json,
)
from relayd.control.requeue import requeue_from_json, requeued_to_json
from relayd.control.suppress import suppress_from_json, unsuppress_from_json
from relayd.errors import (
    CommitUnknown,
    ContentLost,
    RelaydError,
    Shortage,
    StoreFull,
    StoreUnavailable,
)
from relayd.mail.words import JsonValue
from relayd.metrics.families import Sample
from relayd.policy.guests import Guests
from relayd.policy.seldom import Seldom
from relayd.ports.queue import Acted, Batch, QueueStore, ReportGivenUp
from relayd.ports.requeue import Requeue, SendsAgain
from relayd.settings import Settings
from relayd.trace.wanted import Wanted, wanted_from_json
from relayd.unix_peer import credentials

_AT_ONCE = 32  # connections
_IN_HAND = 16  # changes that are carried out
_CHANGES = (
    "act",
    "compact",
    "content",
    "requeue",
    "suppress",
    "unsuppress",
    "pause",
    "resume",
)  # the verbs that reach the store
_READ_FOR = 5.0  # seconds for the whole request line
_WRITE_FOR = 10.0  # seconds for the reply
_NO_DESCRIPTORS_PAUSE = 0.5  # seconds before accepting again after accept() failed (F-15)
_CHUNK = 64 * 1024

_log = structlog.get_logger(__name__)


class Lines(Protocol):
    """What somebody follows."""

    async def send_to(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send lines of JSON, until cancelled."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlContext:
    """What a request can reach in a worker."""

    store: QueueStore
    on_change: Callable[[], None]  # wakes the deliverer
    on_pauses: Callable[[], None]  # has all workers look at the pause rules; wakes the deliverer
    now: Callable[[], datetime]
    record: Callable[[Acted], None]  # gets every change, once it is durable
    info: Callable[[], Mapping[str, JsonValue]]  # what the verb `status` answers
    oldest_kept: Callable[[], datetime]  # what was finished before may be deleted
    settings: Settings  # those that this worker runs with
    reload: Callable[[], Awaitable[Message]]  # has the daemon read them again; returns the reply
    samples: Callable[[], Iterable[Sample]] = tuple  # what the verb `metrics` answers
    follow: Callable[[Wanted], Lines]  # what the verb `trace` answers; raises RelaydError
    send_again: SendsAgain | None = None  # makes new messages of bounced ones
    report: ReportGivenUp | None = None  # tells senders what was bounced; None: nobody does


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
        by = await _who(connection)
        if by is None:
            return _refusal("only root, the daemon's user and the socket's group may do this")
        async with asyncio.timeout(_READ_FOR):
            line = await _read_line(connection)
        request = decode(line)
        if request.get("verb") not in _CHANGES:
            return await _tell(request, by, context)
        async with room.in_hand:
            room.guests.carry_out(_this_task())
            if request["verb"] != "content":
                reply: Message | Lines = await _change(request, by, context)
            else:
                reply = await _read(request, by, context, is_owner=peer.is_owner(connection))
            return reply
    except (Shortage, StoreUnavailable, StoreFull) as exc:
        return _refusal(str(exc), again=True)
    except CommitUnknown as exc:
        return _refusal(f"it is unknown whether the change was made: {exc}", again=True)
    except (BadMessage, RelaydError) as exc:
        return _refusal(str(exc))


async def _who(connection: socket.socket) -> str | None:
    """Return who asks; None if they may not. Raises Shortage."""
    try:
        asked = asyncio.get_running_loop().run_in_executor(None, peer.admitted_user, connection)
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


async def _change(request: Message, by: str, context: ControlContext) -> Message:
    if request["verb"] == "act":
        return await _act(request, by, context)
    if request["verb"] == "compact":
        return compacted_to_json(await context.store.compact(context.oldest_kept()))
    if request["verb"] == "requeue":
        return await _requeue(request, by, context)
    if request["verb"] == "suppress":
        return await _suppress(request, by, context)
    if request["verb"] in ("pause", "resume"):
        return await _pause_or_resume(request, by, context)
    address = unsuppress_from_json(request)
    changed = await context.store.unsuppress(address)
    if changed:
        _log.info("unsuppressed", rcpt=address, by=by)
    return {"ok": True, "unsuppressed": changed}


async def _read(
    request: Message, by: str, context: ControlContext, *, is_owner: bool
) -> Message | Lines:
    """Give content, once it is on record who reads it."""
    wanted = content_from_json(request)
    if not (is_owner or context.settings.read_content):
        words = (
            "only root and the daemon's user may read content (control.read_content lets the group)"
        )
        return {**_refusal(words), "forbidden": True}
    read = await context.store.read(wanted.message_id, by=by, reason=wanted.reason)
    if read is None:
        return GONE
    context.record(Acted(events=read.events))
    return Parts(read.content)


async def _suppress(request: Message, by: str, context: ControlContext) -> Message:
    wanted = suppress_from_json(request)
    new = await context.store.suppress(wanted, by=by)
    if any(new):
        first = next(each.address for each, is_new in zip(wanted, new, strict=True) if is_new)
        _log.info("suppressed", rcpt=first, addresses=sum(new), by=by)
    return {"ok": True, "suppressed": list(new)}


async def _act(request: Message, by: str, context: ControlContext) -> Message:
    wanted = act_from_json(request)
    if wanted.dry_run:
        retries = len(context.settings.retry.soft_bounce)
        return foreseen_to_json(
            await context.store.foresee(wanted.query, wanted.action, soft_retries=retries)
        )
    acted = await context.store.act(
        wanted.query,
        wanted.action,
        by=by,
        reason=wanted.reason,
        report=context.report,
        batch=Batch(limit=wanted.limit, before=wanted.before),
    )
    if acted.events:
        context.record(acted)
        context.on_change()
    return acted_to_json(acted)


async def _requeue(request: Message, by: str, context: ControlContext) -> Message:
    wanted = requeue_from_json(request)
    if context.send_again is None:
        raise BadMessage("this daemon requeues nothing")
    requeued = await context.store.requeue(
        wanted.query,
        Requeue(
            by=by,
            reason=wanted.reason,
            send_again=context.send_again,
            again=wanted.again,
            spares_suppressed=context.settings.bounces.refuse_suppressed,
        ),
        batch=Batch(limit=wanted.limit, before=wanted.before),
        dry_run=wanted.dry_run,
    )
    if requeued.events:
        context.record(Acted(events=requeued.events, reports=requeued.messages))
        context.on_change()
    return requeued_to_json(requeued)


async def _pause_or_resume(request: Message, by: str, context: ControlContext) -> Message:
    store = context.store
    if request["verb"] == "pause":
        rules = await store.pause(rules_from_json(request, by=by, at=context.now()))
    else:
        wanted = resume_from_json(request)
        rules = await store.unpause(wanted.rules, wanted.sides)
    context.on_pauses()
    for rule in rules:
        told = {**fields(rule), "by": by}
        _log.warning("paused" if request["verb"] == "pause" else "resumed", **told)
    return pauses_to_json(rules)


async def _tell(request: Message, by: str, context: ControlContext) -> Message | Lines:
    """Answer what changes nothing in the store."""
    match request.get("verb"):
        case "reload":
            _log.info("reload_asked", by=by)
            return await context.reload()
        case "trace":
            wanted = wanted_from_json(request)
            lines = context.follow(wanted)
            _log.info(
                "trace_begun", by=by, **{key: request[key] for key in request.keys() - {"verb"}}
            )
            return lines
        case "ping":
            return {"ok": True}
        case "status":
            return {"ok": True, "status": dict(context.info())}
        case "metrics":
            return samples_to_json(context.samples())
        case "settings":
            values = dict(context.settings.values)
            file, version = context.settings.file, relayd.__version__
            return {"ok": True, "file": file, "version": version, "settings": values}
        case verb:
            raise BadMessage(f"unknown verb {verb!r}")


def _this_task() -> asyncio.Task[None]:
    return cast("asyncio.Task[None]", asyncio.current_task())


def _refusal(error: str, *, again: bool = False) -> Message:
    return {"ok": False, "error": error, "again": again}

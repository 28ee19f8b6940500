"""A small HTTP server: GET /metrics, GET /healthz and GET /readyz, and nothing else.

Every worker listens on the same bound sockets; the one that accepts a connection answers for all. There
is one request to a connection, bounded in size, in time and in number: a new client is read at once, and
when there are too many, one that has not asked yet is closed (`relayd.policy.guests`). Every client that
reaches the address is answered, and no request changes anything.

Source: RFC 9112 §3 (request line), RFC 9110 §15.5.6 (405 with Allow).
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import cast

import structlog

from relayd.metrics.exposition import CONTENT_TYPE, render
from relayd.metrics.scrape import Scrape
from relayd.policy.guests import Guests
from relayd.policy.seldom import Seldom

_AT_ONCE = 32  # connections
_HEAD_WITHIN = 2.0  # seconds; a monitor sends it in one segment
_ANSWER_WITHIN = 10.0  # seconds; reading the queue may take five of them
_REQUEST_LIMIT = 8 * 1024  # octets
_NO_DESCRIPTORS_PAUSE = 0.5  # seconds before accepting again after accept() failed (F-15)
_PLAIN = "text/plain; charset=utf-8"
_ALIVE = b"ok\nA worker answers: relayd is alive. /readyz says whether it takes and delivers mail, and why not.\n"
_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.[01]")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}

log = structlog.get_logger()


async def serve_metrics(sockets: Sequence[socket.socket], scrape: Scrape) -> None:
    """Answer on `sockets`, which listen already, until cancelled.

    Then they are closed at once, so that the address is free, and what was asked is answered still.
    """
    if not sockets:
        return
    async with asyncio.TaskGroup() as requests:
        stopped = await _accept_all(sockets, scrape, requests)
    raise stopped


async def _accept_all(
    sockets: Sequence[socket.socket], scrape: Scrape, requests: asyncio.TaskGroup
) -> asyncio.CancelledError:
    """Start a task per connection until cancelled; return that, for the group to end in peace."""
    guests: Guests[asyncio.Task[None]] = Guests(_AT_ONCE)
    try:
        async with asyncio.TaskGroup() as doors:
            for sock in sockets:
                sock.settimeout(0)  # another worker may be faster: then accept() must not wait
                doors.create_task(_accept(sock, scrape, guests, requests), name="metrics listener")
    except asyncio.CancelledError as exc:
        return exc
    finally:
        for sock in sockets:
            sock.close()
    raise AssertionError("doors close only when they are told to")


async def _accept(
    sock: socket.socket,
    scrape: Scrape,
    guests: Guests[asyncio.Task[None]],
    requests: asyncio.TaskGroup,
) -> None:
    loop, trouble = asyncio.get_running_loop(), Seldom()
    while True:
        try:
            connection, peer = await loop.sock_accept(sock)
        except OSError as error:
            if trouble.is_due(loop.time()):
                log.warning("metrics_accept_failed", reason=str(error), fault="local")
            await asyncio.sleep(_NO_DESCRIPTORS_PAUSE)
            continue
        guest = requests.create_task(_serve(connection, scrape, guests), name="metrics request")
        if (leaving := guests.take(guest, peer[0])) is not None:
            leaving.cancel()
        await asyncio.sleep(0)  # what it has sent is read before the next one can make it leave


async def _serve(
    connection: socket.socket, scrape: Scrape, guests: Guests[asyncio.Task[None]]
) -> None:
    loop, guest = asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task())
    try:
        with connection:
            connection.settimeout(0)
            async with asyncio.timeout(_HEAD_WITHIN):
                line = await _request_line(connection)
            guests.answer(guest)
            async with asyncio.timeout(_ANSWER_WITHIN):
                await loop.sock_sendall(connection, await _answer(line, scrape))
    except OSError:  # TimeoutError is one: it is gone, or too slow
        pass
    except Exception:
        log.exception("metrics_request_failed", fault="local")
    finally:
        guests.leave(guest)


async def _request_line(connection: socket.socket) -> bytes:
    """Return the first line of a request that came whole; empty for anything else."""
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = await loop.sock_recv(connection, _REQUEST_LIMIT)
        head += chunk
        if not chunk or len(head) > _REQUEST_LIMIT:
            return b""
    return head.partition(b"\r\n")[0]


async def _answer(line: bytes, scrape: Scrape) -> bytes:
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        return _reply(400, b"not an HTTP request\n")
    if found[1] != b"GET":
        return _reply(405, b"only GET\n", more="Allow: GET\r\n")
    match found[2].partition(b"?")[0]:
        case b"/metrics":
            return _reply(200, render(await scrape.samples()), kind=CONTENT_TYPE)
        case b"/healthz":
            return _reply(200, _ALIVE)
        case b"/readyz":
            reasons = await scrape.reasons()
            lines = "".join(f"{reason}\n" for reason in reasons or ["ok"])
            return _reply(503 if reasons else 200, lines.encode())
        case _:
            return _reply(404, b"there are /metrics, /healthz and /readyz\n")


def _reply(status: int, body: bytes, *, kind: str = _PLAIN, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body

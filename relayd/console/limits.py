"""What one client may hold up: connections, the time for a header, the size and the pace of a body.

uvicorn never ends a connection that sends no header, or half of one, and has no limit for one client. A
connection through a proxy's unix socket counts to the total only.
"""

import asyncio
from typing import Any

import h11
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive
from uvicorn.protocols.http.h11_impl import H11Protocol

from relayd.console.headers import HEADERS

CONNECTIONS = 200
PER_CLIENT = 20
HEADER_WITHIN = 5.0  # seconds
BODY_LIMIT = 1024 * 1024  # octets
_BODY_GRACE = 5.0  # seconds, and one for each so many octets
_BODY_PACE = 500


class Joined:
    """A transport that sends together what is written in one turn of the loop: mostly a header and its body.

    uvicorn writes them apart, and each would be a call of the system and a packet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(part)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class LimitedProtocol(H11Protocol):
    """One connection."""

    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = Joined(transport, self.loop)  # type: ignore[assignment]  # all that is used of one
        if self._is_one_too_many():
            transport.close()
        else:
            self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_header()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._header_timer is None and self.conn.their_state is h11.IDLE:
            self._await_header()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._have_header()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, with our headers."""
        body = msg.encode()
        headers = [*HEADERS.items(), ("Content-Type", "text/plain; charset=utf-8")]
        headers += [("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (
            h11.Response(status_code=400, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _is_one_too_many(self) -> bool:
        if len(self.connections) > CONNECTIONS:
            return True
        clients = [getattr(each, "client", None) for each in self.connections]
        own = [
            client for client in clients if client and self.client and client[0] == self.client[0]
        ]
        return len(own) > PER_CLIENT

    def _await_header(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_WITHIN, self.transport.close)

    def _have_header(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


async def read_body(request: Request, limit: int | None = None) -> bytes:
    """Return the body of a request. Raises HTTPException when it is too large, too slow, or not whole."""
    loop = asyncio.get_running_loop()
    most = BODY_LIMIT if limit is None else limit
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_GRACE) as deadline:
            began = loop.time()
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise HTTPException(413, f"more than {most} octets are not taken at once")
                deadline.reschedule(began + _BODY_GRACE + len(body) / _BODY_PACE)
    except TimeoutError as slow:
        raise HTTPException(408, "the request came too slowly") from slow
    except ClientDisconnect as gone:  # nobody hears this, and it is no error of ours
        raise HTTPException(400, "the client left before the end of the request") from gone
    return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, then what comes after it."""
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return given.pop() if given else await receive()

    return again

"""One form to one HTTPS server, and its answer: as little of HTTP as a token server needs.

Owns the connection, the time that all of it may take, and how much is read. The certificate has to prove the name. No
redirect is followed: the form holds secrets, which are for the server that the settings name. The standard library's
parser reads the answer; nothing else of it is used, because its time limits are for single reads.

Sources: RFC 6749 §3.2 (TLS, POST); RFC 9112 (HTTP/1.1).
"""

import asyncio
import http.client
import io
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import cast
from urllib.parse import urlencode, urlsplit

from relayd.policy.oauth2.answers import HttpAnswer

_WITHIN = 20.0  # seconds for all of it
_MOST = 64 * 1024  # octets of an answer
_PORT = 443


class Unanswered(Exception):
    """The server gave no answer; says why in one line, without a word of the form."""


async def post(
    url: str, form: Mapping[str, str], *, tls: ssl.SSLContext, within: float = _WITHIN
) -> HttpAnswer:
    """Send a form to an `https:` URL, and return the answer, whatever its status. Raises Unanswered."""
    place = urlsplit(url)
    host = place.hostname or ""
    try:
        async with asyncio.timeout(within):
            return await _exchange(host, place.port or _PORT, _request(url, form), tls)
    except TimeoutError:
        why = f"no answer within {within:g} s"
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate does not prove the name: {error.verify_message}"
    except ssl.SSLError as error:
        why = f"no TLS: {(error.reason or 'unknown').replace('_', ' ').lower()}"
    except OSError as error:
        why = (error.strerror or "no connection").lower()
    except asyncio.IncompleteReadError:
        why = "it hung up in the middle of its answer"
    except (http.client.HTTPException, ValueError):
        why = "its answer is no HTTP"
    except asyncio.LimitOverrunError:
        why = f"its answer has more than {_MOST} octets"
    raise Unanswered(f"{host}: {why}")


def verifying() -> ssl.SSLContext:
    """Return what a certificate is checked by: the authorities of this system."""
    return ssl.create_default_context()


def _request(url: str, form: Mapping[str, str]) -> bytes:
    place = urlsplit(url)
    target = (place.path or "/") + (f"?{place.query}" if place.query else "")
    body = urlencode(form).encode()
    head = (
        f"POST {target} HTTP/1.1\r\nHost: {place.netloc}\r\nAccept: application/json\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nUser-Agent: relayd\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


async def _exchange(host: str, port: int, request: bytes, tls: ssl.SSLContext) -> HttpAnswer:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=host)
    try:
        writer.write(request)
        await writer.drain()
        got = b""
        while chunk := await reader.read(_MOST):
            got += chunk
            if len(got) > _MOST:
                raise asyncio.LimitOverrunError("", _MOST)
            if (answer := _parsed(got, is_whole=False)) is not None:
                return answer
        answer = _parsed(got, is_whole=True)
        if answer is None:
            raise asyncio.IncompleteReadError(got, None)
        return answer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


class _Octets:
    """What the parser takes for a socket."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._octets)


def _parsed(octets: bytes, *, is_whole: bool) -> HttpAnswer | None:
    """Return the answer; None: it goes on. Raises HTTPException, ValueError for what is none.

    `is_whole`: the server has closed its side, which ends a body without a length.
    """
    if b"\r\n\r\n" not in octets and b"\n\n" not in octets:
        if is_whole and octets:
            raise http.client.HTTPException
        return None
    response = http.client.HTTPResponse(cast(socket.socket, _Octets(octets)), method="POST")
    response.begin()
    if response.length is None and not response.chunked and not is_whole:
        return None
    try:
        body = response.read()
    except http.client.IncompleteRead:
        return None
    return HttpAnswer(
        status=response.status,
        content_type=response.headers.get("Content-Type", ""),
        body=body,
    )

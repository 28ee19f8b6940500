"""One request to one HTTPS server, and its answer: as little of HTTP as relayd needs.

Owns the connection, the time that all of it may take, and how much is read. The certificate has to prove the name. No
redirect is followed: what we send may be a secret, and is for the server that was named. The standard library's parser
reads the header; nothing else of it is used, because its time limits are for single reads, and its `read(n)` takes a
body that was cut. Each octet is looked at once, however small the pieces are that it comes in.

Sources: RFC 9112 §6.3 (length of a body), §7.1 (chunks), §9.8 (an end that proves nothing); RFC 9110 §9.3.
"""

import asyncio
import http.client
import io
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlencode, urlsplit

from relayd.mail.http import HttpAnswer

_WITHIN = 20.0  # seconds for all of it
_CONNECT = 8.0  # seconds for one address, if there are others
_MOST = 64 * 1024  # octets of a body
_HEADER = 16 * 1024  # octets
_INTERIM = 4  # answers of 1yz before the one that counts
_PORT = 443
_IS_INTERIM = re.compile(rb"HTTP/1\.[01] 1[0-9][0-9][ \r]")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


class Unanswered(Exception):
    """The server gave no answer; says why in one line, without a word of the request."""

    def __init__(self, host: str, why: str, *, of_certificate: bool = False) -> None:
        self.why = why
        self.of_certificate = of_certificate  # it does not prove the name
        super().__init__(f"{host}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """`url` begins with `https:`; its host is what the certificate has to prove."""

    url: str
    body: bytes | None = None  # None: GET; else POST
    content_type: str = "application/x-www-form-urlencoded"  # of the body
    accept: str = "*/*"
    fields: Mapping[str, str] = field(default_factory=dict)  # of the header, besides

    @property
    def octets(self) -> bytes:
        """Return the request as it is sent."""
        place = urlsplit(self.url)
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        body = self.body or b""
        fields = {
            "Host": place.netloc,
            "User-Agent": "relayd",
            "Accept": self.accept,
            "Accept-Encoding": "identity",
            "Connection": "close",
            **self.fields,
        }
        if self.body is not None:
            fields |= {"Content-Type": self.content_type, "Content-Length": str(len(body))}
        method = "GET" if self.body is None else "POST"
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii") + body


async def ask(
    request: HttpRequest,
    *,
    tls: ssl.SSLContext,
    ips: Sequence[str] = (),
    within: float = _WITHIN,
    most: int = _MOST,
) -> HttpAnswer:
    """Return the answer, whatever its status. Raises Unanswered.

    The connection goes to one of `ips`, which somebody vetted, one after the other; without any, to what the
    system finds for the name. `within` is in seconds, `most` in octets of the body.
    """
    host = urlsplit(request.url).hostname or ""
    is_of_certificate = False
    try:
        async with asyncio.timeout(within):
            return await _exchange(request, ips, tls, most)
    except TimeoutError:
        why = f"no answer within {within:g} s"
    except ssl.SSLCertVerificationError as error:
        is_of_certificate = True
        why = f"its certificate does not prove the name: {error.verify_message}"
    except ssl.SSLError as error:
        why = f"no TLS: {(error.reason or 'unknown').replace('_', ' ').lower()}"
    except OSError as error:
        why = (error.strerror or "no connection").lower()
    except asyncio.IncompleteReadError:
        why = "it hung up in the middle of its answer"
    except (http.client.HTTPException, ValueError):
        why = "its answer is no HTTP"
    except asyncio.LimitOverrunError as error:
        why = f"its {error} octets"
    raise Unanswered(host, why, of_certificate=is_of_certificate)


async def post(
    url: str, form: Mapping[str, str], *, tls: ssl.SSLContext, within: float = _WITHIN
) -> HttpAnswer:
    """Send a form, and return what is answered, whatever its status. Raises Unanswered."""
    request = HttpRequest(url=url, body=urlencode(form).encode(), accept="application/json")
    return await ask(request, tls=tls, within=within)


def verifying() -> ssl.SSLContext:
    """Return what a certificate is checked by: the authorities of this system."""
    return ssl.create_default_context()


async def _exchange(
    request: HttpRequest, ips: Sequence[str], tls: ssl.SSLContext, most: int
) -> HttpAnswer:
    reader, writer = await _connect(request.url, ips, tls)
    try:
        writer.write(request.octets)
        with suppress(ConnectionError):  # who has enough may answer before all of it is sent
            await writer.drain()
        return await _answer(reader, "GET" if request.body is None else "POST", most)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def _connect(
    url: str, ips: Sequence[str], tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or _PORT
    *others, last = ips or (host,)
    for ip in others:
        with suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(_CONNECT):
                return await _dial(ip, port, host, tls)
    return await _dial(last, port, host, tls)


async def _dial(
    ip: str, port: int, host: str, tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(ip, port, ssl=tls, server_hostname=host, limit=_HEADER)


async def _answer(reader: asyncio.StreamReader, method: str, most: int) -> HttpAnswer:
    response = await _header(reader, method)
    if response.chunked:
        body = await _chunks(reader, most)
    elif response.length is not None:
        if response.length > most:
            raise _too_long(most)
        body = await reader.readexactly(response.length)
    else:
        body = await _rest(reader, most)
    return HttpAnswer(
        status=response.status,
        content_type=response.headers.get("Content-Type", ""),
        body=body,
        has_end=response.chunked or response.length is not None,
    )


class _Octets:
    """What the parser takes for a socket."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._octets)


async def _header(reader: asyncio.StreamReader, method: str) -> http.client.HTTPResponse:
    """Return what the header says, and nothing of the body; interim answers are left out."""
    for _ in range(_INTERIM):
        try:
            octets = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as error:
            raise asyncio.LimitOverrunError(f"header has more than {_HEADER}", 0) from error
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise http.client.HTTPException from error
            raise
        if _IS_INTERIM.match(octets) is None:
            break
    else:
        raise http.client.HTTPException
    response = http.client.HTTPResponse(cast(socket.socket, _Octets(octets)), method=method)
    response.begin()
    return response


async def _chunks(reader: asyncio.StreamReader, most: int) -> bytes:
    """Return a body in chunks; its trailers are of no use to us."""
    body = bytearray()
    while True:
        line = await _line(reader)
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise http.client.HTTPException
        size = int(found[1], 16)
        if size == 0:
            return bytes(body)
        if len(body) + size > most:
            raise _too_long(most)
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise http.client.HTTPException


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n")
    except asyncio.LimitOverrunError as error:
        raise http.client.HTTPException from error


async def _rest(reader: asyncio.StreamReader, most: int) -> bytes:
    body = bytearray()
    while piece := await reader.read(most):
        body += piece
        if len(body) > most:
            raise _too_long(most)
    return bytes(body)


def _too_long(most: int) -> asyncio.LimitOverrunError:
    return asyncio.LimitOverrunError(f"answer has more than {most}", 0)

"""The PROXY protocol, versions 1 and 2: who the client is, as a trusted proxy says.

The header is read off the bare socket, to its last octet and no further, before anything else is
there: so it works in front of implicit TLS too (HD-19, HU-01).

Source: the PROXY protocol specification of haproxy.org, sections 2.1 and 2.2.
"""

import asyncio
import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = 16  # octets of a version 2 header in front of its addresses
_TEXT_LIMIT = 107  # octets of a version 1 header
_MORE_LIMIT = 4096  # octets of addresses and further fields that version 2 may bring
_LOCAL, _PROXIED = 0x20, 0x21
_TEXT_FAMILIES: Mapping[bytes, type[IPv4Address] | type[IPv6Address]] = {
    b"TCP4": IPv4Address,
    b"TCP6": IPv6Address,
}
_ADDRESS_LENGTH = {0x1: 4, 0x2: 16}  # by address family: IPv4, IPv6


class ProxyError(ValueError):
    """What came is no PROXY header."""


async def read_client(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> str | None:
    """Read the header; return the client's address, None when the proxy speaks for itself.

    Raises ProxyError, OSError. The caller limits the time.
    """
    header = bytearray()
    while True:
        await _readable(loop, connection)
        seen = connection.recv(_FIXED + _MORE_LIMIT, socket.MSG_PEEK)
        if not seen:
            raise ProxyError("no PROXY header")
        length = header_length(bytes(header) + seen)
        header += connection.recv(length - len(header) if length else len(seen))
        if length:
            return client_of(bytes(header))


async def _readable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    ready = loop.create_future()
    loop.add_reader(connection, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(connection)


def _wake(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def header_length(octets: bytes) -> int:
    """Return how long the header at the start of `octets` is; 0 if it is not complete yet.

    Raises ProxyError as soon as it cannot become a header.
    """
    if _SIGNATURE.startswith(octets[:12]):
        return _binary_length(octets)
    if not b"PROXY ".startswith(octets[:6]):
        raise ProxyError("no PROXY header")
    end = octets.find(b"\r\n", 0, _TEXT_LIMIT)
    if end < 0 and len(octets) >= _TEXT_LIMIT:
        raise ProxyError("a PROXY header without an end")
    return end + 2 if end >= 0 else 0


def _binary_length(octets: bytes) -> int:
    if len(octets) < _FIXED:
        return 0
    more = int.from_bytes(octets[14:16])
    if more > _MORE_LIMIT:
        raise ProxyError("a PROXY header that is too long")
    return _FIXED + more if len(octets) >= _FIXED + more else 0


def client_of(header: bytes) -> str | None:
    """Return the client's address off a complete header; None: the proxy speaks for itself.

    Raises ProxyError.
    """
    return _binary(header) if header[:12] == _SIGNATURE else _text(header)


def _binary(header: bytes) -> str | None:
    command, family = header[12], header[13] >> 4
    if command == _LOCAL:
        return None
    if command != _PROXIED:
        raise ProxyError("a PROXY header of another version")
    length = _ADDRESS_LENGTH.get(family)
    if length is None:
        return None  # a unix socket, or unspecified
    source = header[_FIXED : _FIXED + length]
    if len(header) < _FIXED + 2 * length + 4:
        raise ProxyError("a PROXY header without its addresses")
    return str(IPv4Address(source) if length == 4 else IPv6Address(source))


def _text(header: bytes) -> str | None:
    words = header[:-2].split(b" ")
    if words[1:2] == [b"UNKNOWN"]:
        return None
    family = _TEXT_FAMILIES.get(words[1]) if len(words) == 6 else None
    if family is None:
        raise ProxyError("a PROXY header of another kind")
    if b"%" in header:  # the library would take any text behind it for a zone
        raise ProxyError("a PROXY header with a zone")
    try:
        client, _ = (family(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        raise ProxyError("a PROXY header with a bad address") from None
    if not all(_is_port(word) for word in words[4:]):
        raise ProxyError("a PROXY header with a bad port")
    return str(client)


def _is_port(word: bytes) -> bool:
    return word.isdigit() and len(word) <= 5 and int(word) <= 65535

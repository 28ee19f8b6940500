"""Names to addresses and addresses to sockets, for a next hop.

A connection goes to the very address it is given, which somebody vetted (S-26, A-61): names are
looked up in `resolve` and nowhere else.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

from relayd.errors import TlsFailed
from relayd.mail.attempt import Breakdown
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Fault
from relayd.net.breakdown import broken
from relayd.net.tls import name_for_tls, tls_problem
from relayd.ports.outward import SessionFailed, Target


class DialFailed(Exception):
    """No connection; carries the breakdown."""

    def __init__(self, breakdown: Breakdown) -> None:
        self.breakdown = breakdown
        super().__init__(breakdown.reason)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a smarthost, best first. Raises SessionFailed, so is never empty."""
    with suppress(ValueError):
        return [str(ip_address(host))]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        why = (exc.strerror or "") if isinstance(exc, OSError) else "not a host name"
        reason = f"cannot find the address of {host}: {why.lower()}"
        raise SessionFailed(Stage.CONNECT, broken(Category.DNS_FAILURE, reason, Fault.DNS)) from exc
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def dial(
    target: Target,
    protocol: asyncio.Protocol,
    *,
    within: float,
    tls: ssl.SSLContext | None = None,
) -> str:
    """Connect `protocol` and return our own address; with `tls` a handshake comes first.

    Raises DialFailed, and TlsFailed from its cause if only the handshake failed.
    """
    loop = asyncio.get_running_loop()
    sock = _make_socket(target)
    try:
        async with asyncio.timeout(within):
            await loop.sock_connect(sock, (target.ip, target.port))
        local_ip: str = sock.getsockname()[0]
        if tls is None:
            await loop.create_connection(lambda: protocol, sock=sock)
        else:
            await _shake_hands(sock, protocol, target, tls, within=within)
    except OSError as exc:  # TimeoutError is one
        sock.close()
        reason = (
            os.strerror(exc.errno).lower() if exc.errno else f"no connection within {within:g} s"
        )
        raise DialFailed(broken(Category.CONNECTION_FAILURE, reason)) from exc
    except BaseException:
        sock.close()
        raise
    return local_ip


async def _shake_hands(
    sock: socket.socket,
    protocol: asyncio.Protocol,
    target: Target,
    tls: ssl.SSLContext,
    *,
    within: float,
) -> None:
    """Begin with TLS (RFC 8314 §3.3). Raises TlsFailed from its cause."""
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            sock=sock,
            ssl=tls,
            server_hostname=name_for_tls(target.host, target.ip),
            ssl_handshake_timeout=within,
        )
    except (OSError, ValueError) as exc:  # ValueError: a name that TLS cannot carry
        raise TlsFailed(tls_problem(exc)) from exc


def _make_socket(target: Target) -> socket.socket:
    """A socket bound to our source address. What fails here is our own fault."""
    family = socket.AF_INET6 if ":" in target.ip else socket.AF_INET
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.source_ip is not None:
            sock.bind((target.source_ip, 0))
    except OSError as exc:
        if sock is not None:
            sock.close()
        reason = f"cannot make a connection: {(exc.strerror or str(exc)).lower()}"
        raise DialFailed(broken(Category.CONNECTION_FAILURE, reason, Fault.LOCAL)) from exc
    return sock

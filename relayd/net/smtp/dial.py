"""Names to addresses and addresses to sockets, for a next hop.

A connection goes to the very address it is given, which somebody vetted (S-26, A-61): names are
looked up in `resolve` and nowhere else.

Whose fault it is when there is no connection: a lack of descriptors, memory or ports is nobody's
(Shortage), what this machine forbids or does not have is ours, and all else is the peer's.

Source: connect(2), ip(7).
"""

import asyncio
import encodings.idna  # noqa: F401 -- `getaddrinfo` loads it on use, which takes a descriptor
import errno
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

from relayd.errors import DENIED, Shortage, is_shortage
from relayd.mail.attempt import Breakdown
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Fault
from relayd.net.local import check_descriptors, source_towards
from relayd.net.smtp.breakdown import broken
from relayd.net.smtp.tls import name_for_tls, tls_failure
from relayd.policy.tls.ladder import TlsFailure
from relayd.ports.outward import SessionFailed, Target


class DialFailed(Exception):
    """No connection; carries the breakdown."""

    def __init__(self, breakdown: Breakdown) -> None:
        self.breakdown = breakdown
        super().__init__(breakdown.reason)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a smarthost, best first, and never none.

    Raises SessionFailed, Shortage.
    """
    with suppress(ValueError):
        return [str(ip_address(host))]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        check_descriptors()
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
) -> tuple[str, TlsFailure | None]:
    """Connect `protocol` and return our own address; with `tls` a handshake comes first.

    And why that handshake failed, if it did: there is no connection then. Raises DialFailed, Shortage.
    """
    loop = asyncio.get_running_loop()
    sock = _make_socket(target)
    failure = None
    try:
        async with asyncio.timeout(within):
            await _connect(sock, (target.ip, target.port))
        local_ip: str = sock.getsockname()[0]
        if tls is None:
            await loop.create_connection(lambda: protocol, sock=sock)
        else:
            failure = await _shake_hands(sock, protocol, target, tls, within=within)
    except OSError as exc:  # TimeoutError is one
        sock.close()
        if is_shortage(exc) or _is_out_of_ports(exc, target):
            raise _lack(exc) from exc
        reason = (
            os.strerror(exc.errno).lower() if exc.errno else f"no connection within {within:g} s"
        )
        fault = Fault.PEER
        if exc.errno in DENIED:
            fault = Fault.LOCAL
            reason = f"no way from this machine to {target.ip} port {target.port}: {reason}"
        raise DialFailed(broken(Category.CONNECTION_FAILURE, reason, fault)) from exc
    except BaseException:
        sock.close()
        raise
    if failure is not None:
        sock.close()
    return local_ip, failure


async def _connect(sock: socket.socket, address: tuple[str, int]) -> None:
    """Connect, as the loop's `sock_connect`: uvloop's takes twice the time of all the rest."""
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[None] = loop.create_future()
    with suppress(BlockingIOError):  # it is under way
        sock.connect(address)
    number = sock.fileno()
    loop.add_writer(number, _note, connected)
    try:
        await connected
    finally:
        loop.remove_writer(number)
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _note(connected: "asyncio.Future[None]") -> None:
    if not connected.done():
        connected.set_result(None)


async def _shake_hands(
    sock: socket.socket,
    protocol: asyncio.Protocol,
    target: Target,
    tls: ssl.SSLContext,
    *,
    within: float,
) -> TlsFailure | None:
    """Begin with TLS (RFC 8314 §3.3); return why that failed, if it did. Raises Shortage."""
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            sock=sock,
            ssl=tls,
            server_hostname=name_for_tls(target),
            ssl_handshake_timeout=within,
        )
    except (OSError, ValueError) as exc:  # ValueError: a name that TLS cannot carry
        return tls_failure(exc)
    return None


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
        if is_shortage(exc) or exc.errno == errno.EADDRINUSE:  # no port of that address is free
            raise _lack(exc) from exc
        reason = f"cannot make a connection: {(exc.strerror or str(exc)).lower()}"
        raise DialFailed(broken(Category.CONNECTION_FAILURE, reason, Fault.LOCAL)) from exc
    return sock


def _is_out_of_ports(exc: OSError, target: Target) -> bool:
    """Tell that from a machine without an address of the family, which gets the same error."""
    return exc.errno == errno.EADDRNOTAVAIL and source_towards(ip_address(target.ip)) is not None


def _lack(exc: OSError) -> Shortage:
    return Shortage(f"no connection can be opened: {(exc.strerror or str(exc)).lower()}")

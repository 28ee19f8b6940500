"""Which addresses are this machine's own."""

import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address

from relayd.errors import Shortage, is_shortage
from relayd.policy.delivery.address_filter import forms


def is_own(
    ip: IPv4Address | IPv6Address, port: int, listening: Collection[tuple[str, int]]
) -> bool:
    """Tell whether a connection to `ip` and `port` would come back to us (S-22).

    Every address of this machine counts, but of the loopback ones only those that we listen on:
    the others are how a mail server beside us is reached. So does an address that stands for one
    of ours. Nothing is sent. Raises Shortage.
    """
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(_is_own(form, port, listening) for form in forms(ip))


def _is_own(
    ip: IPv4Address | IPv6Address, port: int, listening: Collection[tuple[str, int]]
) -> bool:
    if ip.is_loopback:
        return any(
            listened == port and host in (str(ip), "localhost", "0.0.0.0", "::")  # noqa: S104
            for host, listened in listening
        )
    # The way to our own address begins at that address. Whether it can be bound would tell less:
    # so can 0.0.0.0 and multicast groups, and any address with the sysctl ip_nonlocal_bind.
    return source_towards(ip, port) == ip


def source_towards(
    ip: IPv4Address | IPv6Address, port: int = 25
) -> IPv4Address | IPv6Address | None:
    """Return the address that a connection to `ip` would come from; None without a way there.

    Nothing is sent. Raises Shortage when that cannot be found out now.
    """
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(ip), port))
            return ip_address(probe.getsockname()[0])
    except OSError as exc:
        if is_shortage(exc):
            raise Shortage(f"no socket to look at our addresses: {exc.strerror}") from exc
        return None


def has_address(ip: IPv4Address | IPv6Address) -> bool:
    """Tell whether a connection may come from `ip`. A lack of sockets says nothing against it."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError as exc:
        return is_shortage(exc)
    return True


def check_descriptors() -> None:
    """Raise Shortage if there can be no socket now.

    For after a failure in a library that needed one and does not tell.
    """
    try:
        socket.socket(socket.AF_UNIX).close()
    except OSError as exc:
        raise Shortage(f"no socket can be opened: {exc.strerror}") from exc

"""Listening sockets: bound on TCP and unix addresses; and why one cannot be had.

Accepts nothing. A socket file is made under its final name, in the place of an abandoned one only.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relayd.errors import AddressInUse, StartError
from relayd.settings import HostPort

BACKLOG = 1024  # the kernel caps it at net.core.somaxconn

REMEDIES = {
    errno.EADDRINUSE: "another program listens there; `ss -lntxp` shows which",
    errno.EACCES: "ports below 1024 need a systemd socket unit or CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """What one address stands for; a host name may have several sockets."""

    sockets: tuple[socket.socket, ...]
    file: tuple[str, os.stat_result] | None = None  # of a unix socket

    def listen(self, address: str) -> None:
        """Have clients connect. Raises StartError, AddressInUse."""
        listen(self.sockets, address)

    def close(self) -> None:
        for each in self.sockets:
            each.close()

    @property
    def is_lost(self) -> bool:
        """Its file is gone, or another one is in its place: nobody can connect any more."""
        if self.file is None:
            return False
        path, made = self.file
        try:
            return not os.path.samestat(made, Path(path).lstat())
        except OSError as error:
            return error.errno in {errno.ENOENT, errno.ENOTDIR}

    def remove(self) -> None:
        """Remove the file, unless somebody has put another in its place."""
        if self.file is None:
            return
        path, made = self.file
        with suppress(OSError):
            if os.path.samestat(made, Path(path).lstat()):
                Path(path).unlink()


def listen_tcp(endpoint: HostPort) -> tuple[socket.socket, ...]:
    """Listen on each address of the host, as `bind_tcp` has them."""
    sockets = bind_tcp(endpoint)
    listen(sockets, str(endpoint))
    return sockets


def listen(sockets: Iterable[socket.socket], address: str) -> None:
    """Have clients connect to sockets that are bound. Raises StartError, AddressInUse; they are open then, too."""
    for each in sockets:
        try:
            each.listen(BACKLOG)
        except OSError as error:
            ip = "" if each.family == socket.AF_UNIX else str(each.getsockname()[0])
            raise _refusal(address, error, ip) from error


def bind_tcp(endpoint: HostPort) -> tuple[socket.socket, ...]:
    """Take each address of the host; one that this machine lacks is skipped if others remain.

    Nobody can connect yet, so that to take an address and give it up again is noticed by nobody. Raises StartError, AddressInUse.
    """
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    ip = ""
    try:
        found = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in found:
            ip = str(address[0])
            try:
                sockets.append(_bound(family, address))
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                missing = error
        if missing is not None and not sockets:
            raise missing
    except OSError as error:
        for each in sockets:
            each.close()
        raise _refusal(str(endpoint), error, ip) from error
    return tuple(sockets)


def _bound(family: int, address: tuple[str | int, ...] | tuple[int, bytes] | str) -> socket.socket:
    # asyncio sends at once (TCP_NODELAY) only where the protocol is named: else an answer in two parts may take 40 ms.
    protocol = 0 if family == socket.AF_UNIX else socket.IPPROTO_TCP
    bound = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        if family != socket.AF_UNIX:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    bound.settimeout(0)
    return bound


def listen_unix(path: str, mode: int) -> Bound:
    """Listen on a new socket file, in the place of an abandoned one.

    Bound under its final name, since that is what getsockname(2) will say in a worker. Nobody but
    us can connect before it has its mode: that takes the right to write, which the umask keeps back.
    """
    file = Path(path)
    listening = None
    try:
        _check_abandoned(file)
        file.unlink(missing_ok=True)
        listening = _bound(socket.AF_UNIX, path)
        listening.listen(BACKLOG)
        file.chmod(mode)
        return Bound((listening,), (path, file.lstat()))
    except OSError as error:
        if listening is not None:
            listening.close()
            file.unlink(missing_ok=True)
        raise _refusal(f"unix:{path}", error) from error


def _check_abandoned(path: Path) -> None:
    """Raise OSError unless `path` is free, or a socket on which nobody answers."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "a file that is no socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)  # a full backlog says EAGAIN, and that somebody is there
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def port_of(address: str) -> str:
    """Return the port of an address as settings have it; empty: it has none."""
    return "" if address.startswith(("unix:", "systemd:")) else address.rpartition(":")[2]


def _refusal(address: str, error: OSError, ip: str = "") -> StartError:
    remedy = REMEDIES.get(error.errno or 0, "")
    if address.startswith("unix:") and error.errno == errno.EACCES:
        remedy = "the user that runs relayd may not write there"
    reason = error.strerror or str(error)
    message = f"cannot listen on {address}: {reason}{'; ' if remedy else ''}{remedy}"
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(message, address, ip=ip)
    return StartError(message)

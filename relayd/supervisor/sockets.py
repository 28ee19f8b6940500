"""The addresses that the daemon listens on.

Owns binding, what systemd passed, and the files of unix sockets. Every worker inherits the same
listening sockets and accepts from them; this module accepts nothing.

Unix sockets: the control socket is for the daemon's user and group (0660). A listener's socket is
open to every local user (0666), like a port on the loopback address; restrict it by the directory.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relayd.errors import StartError
from relayd.settings import HostPort, ListenerSettings, Settings
from relayd.supervisor.lock import make_directory

BACKLOG = 1024  # the kernel caps it at net.core.somaxconn
LISTENER_MODE = 0o666  # its directory and `networks` say who may come in
CONTROL_MODE = 0o660  # the group may act

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


class Addresses:
    """The listening sockets by address, so that a reload keeps those that stay."""

    def __init__(self, inherited: Mapping[str, tuple[socket.socket, ...]]) -> None:
        self._inherited = {f"systemd:{name}": Bound(found) for name, found in inherited.items()}
        self._bound: dict[str, Bound] = {}

    def open(self, settings: Settings) -> None:
        """Bind what `settings` name and is not bound yet: all of it, or StartError and none.

        A unix socket whose file is lost is made anew; who has connected to the old one stays so.
        """
        added: dict[str, Bound] = {}
        known = {key for key, bound in self._bound.items() if not bound.is_lost}
        directory = Path(settings.control_socket).parent  # listeners may be there too
        try:
            for listener in settings.listeners:
                key = _key(listener)
                if key not in self._inherited and key not in known and key not in added:
                    if listener.unix_path and Path(listener.unix_path).parent == directory:
                        make_directory(directory, 0o755)
                    added[key] = _bind(listener)
            if settings.metrics is not None:
                key = str(settings.metrics)
                if key not in known and key not in added:
                    added[key] = Bound(_listen_tcp(settings.metrics))
            control = f"unix:{settings.control_socket}"
            if control not in known and control not in added:
                make_directory(directory, 0o755)
                added[control] = _listen_unix(settings.control_socket, CONTROL_MODE)
        except StartError:
            for bound in added.values():
                bound.close()
                bound.remove()
            raise
        for key in added.keys() & self._bound.keys():
            self._bound[key].close()
        self._bound |= added

    def lost(self) -> list[str]:
        """Return the addresses of unix sockets to which nobody can connect any more."""
        return sorted(key for key, bound in self._bound.items() if bound.is_lost)

    def listeners(self, settings: Settings) -> tuple[tuple[ListenerSettings, socket.socket], ...]:
        everything = self._inherited | self._bound
        return tuple(
            (listener, each)
            for listener in settings.listeners
            for each in everything[_key(listener)].sockets
        )

    def control(self, settings: Settings) -> socket.socket:
        return self._bound[f"unix:{settings.control_socket}"].sockets[0]

    def metrics(self, settings: Settings) -> tuple[socket.socket, ...]:
        return () if settings.metrics is None else self._bound[str(settings.metrics)].sockets

    def unused(self, settings: Settings) -> list[str]:
        """Return the names that systemd passed and no listener asks for."""
        return sorted(self._inherited.keys() - {_key(each) for each in settings.listeners})

    def close(self, *, but: Settings | None = None) -> None:
        """Close what we bound, except what `but` needs, and remove the files of unix sockets."""
        for bound in self._drop(but):
            bound.close()
            bound.remove()

    def forget(self, *, but: Settings) -> None:
        """In a worker: close its copies of what is not its own; the files are not its business."""
        for bound in self._drop(but):
            bound.close()

    def _drop(self, but: Settings | None) -> Iterable[Bound]:
        needed = set()
        if but is not None:
            needed = {_key(each) for each in but.listeners} | {f"unix:{but.control_socket}"}
            needed |= {str(but.metrics)} if but.metrics is not None else set()
        return [self._bound.pop(key) for key in self._bound.keys() - needed]


def _key(listener: ListenerSettings) -> str:
    if listener.endpoint is not None:
        return str(listener.endpoint)
    if listener.unix_path is not None:
        return f"unix:{listener.unix_path}"
    return f"systemd:{listener.systemd_name}"


def _bind(listener: ListenerSettings) -> Bound:
    if listener.endpoint is not None:
        return Bound(_listen_tcp(listener.endpoint))
    if listener.unix_path is not None:
        return _listen_unix(listener.unix_path, LISTENER_MODE)
    message = (
        f"cannot listen on {listener.address}: systemd passed no socket of that name;"
        f" the socket unit needs FileDescriptorName={listener.systemd_name}"
    )
    raise StartError(message)


def _listen_tcp(endpoint: HostPort) -> tuple[socket.socket, ...]:
    """Listen on each address of the host; an address that this machine lacks is skipped if others remain."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        found = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in found:
            try:
                sockets.append(_listen(family, address))
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                missing = error
        if missing is not None and not sockets:
            raise missing
    except OSError as error:
        for each in sockets:
            each.close()
        raise _refusal(str(endpoint), error) from error
    return tuple(sockets)


def _listen(family: int, address: tuple[str | int, ...] | tuple[int, bytes] | str) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != socket.AF_UNIX:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.settimeout(0)
    return listening


def _listen_unix(path: str, mode: int) -> Bound:
    """Listen on a new socket file, in the place of an abandoned one.

    Bound under its final name, since that is what getsockname(2) will say in a worker. Nobody but
    us can connect before it has its mode: that takes the right to write, which the umask keeps back.
    """
    file = Path(path)
    listening = None
    try:
        _check_abandoned(file)
        file.unlink(missing_ok=True)
        listening = _listen(socket.AF_UNIX, path)
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


def _refusal(address: str, error: OSError) -> StartError:
    remedy = REMEDIES.get(error.errno or 0, "")
    if address.startswith("unix:") and error.errno == errno.EACCES:
        remedy = "the user that runs relayd may not write there"
    reason = error.strerror or str(error)
    return StartError(f"cannot listen on {address}: {reason}{'; ' if remedy else ''}{remedy}")

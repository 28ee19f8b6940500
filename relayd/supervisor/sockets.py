"""The addresses that the daemon listens on.

Owns binding, what systemd passed, and the files of unix sockets. Every worker inherits the same
listening sockets and accepts from them; this module accepts nothing.

Unix sockets: the control socket and the console's listener are for the daemon's user and group (0660). A
listener's socket is open to every local user (0666), like a port on the loopback address; restrict it by the directory.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from relayd.errors import AddressInUse, StartError
from relayd.settings import HostPort, LineEndings, ListenerAuth, ListenerSettings, Settings
from relayd.sockets import Bound, bind_tcp, listen_unix, port_of
from relayd.supervisor.lock import make_directory

LISTENER_MODE = 0o666  # its directory and `networks` say who may come in
_OF_SYSTEMD = "systemd listens there for relayd, by the socket unit of {}: change one of them"
_NOT_AT_ONCE = "relayd itself listens on {}, and lets go of it only when it stops; stop relayd, change the settings, and start it"
_ALL = {"0.0.0.0", "::"}  # noqa: S104 -- what they are called
_BOTH = "these settings have {} as well, and one is in the way of the other"
CONTROL_MODE = 0o660  # the group may act


class Addresses:
    """The listening sockets by address, so that a reload keeps those that stay."""

    def __init__(self, inherited: Mapping[str, tuple[socket.socket, ...]]) -> None:
        self._inherited = {f"systemd:{name}": Bound(found) for name, found in inherited.items()}
        self._bound: dict[str, Bound] = {}

    def open(self, settings: Settings) -> None:
        """Listen on what `settings` name and nobody of ours listens on yet: all of it, or StartError and none.

        No client can connect before all of it is ours. A unix socket whose file is lost is made anew; who has connected to
        the old one stays so. AddressInUse where somebody else listens, who may be workers of ours that leave.
        """
        added: dict[str, Bound] = {}
        known = {key for key, bound in self._bound.items() if not bound.is_lost}
        try:
            for key, bind in _wanted(settings):
                if key not in self._inherited and key not in known and key not in added:
                    added[key] = bind()
            for key, bound in added.items():
                bound.listen(key)
        except StartError as error:
            reason = self._why(error, added)
            for bound in added.values():
                bound.close()
                bound.remove()
            raise reason from error
        for key in added.keys() & self._bound.keys():
            self._bound[key].close()
        self._bound |= added

    def _why(self, error: StartError, added: Mapping[str, Bound]) -> StartError:
        """Return the error, or a better one where we ourselves are in the way: all addresses of a machine and one of them cannot be both."""
        if not isinstance(error, AddressInUse):
            return error
        for those, remedy in (
            (self._inherited, _OF_SYSTEMD),
            (self._bound, _NOT_AT_ONCE),
            (added, _BOTH),
        ):
            for key, bound in those.items():
                if key != error.address and _is_in_the_way(bound, error):
                    return StartError(f"cannot listen on {error.address}: {remedy.format(key)}")
        return error

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

    def console(self, settings: Settings) -> tuple[ListenerSettings, socket.socket]:
        listener = console_listener(settings)
        return listener, self._bound[_key(listener)].sockets[0]

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
        needed = addresses_of(but) if but is not None else set()
        return [self._bound.pop(key) for key in self._bound.keys() - needed]


def addresses_of(settings: Settings) -> set[str]:
    """Return all addresses that workers with these settings listen on."""
    found = {_key(each) for each in (*settings.listeners, console_listener(settings))}
    found |= {f"unix:{settings.control_socket}"}
    return found | ({str(settings.metrics)} if settings.metrics is not None else set())


def console_listener(settings: Settings) -> ListenerSettings:
    """Return the listener on which the console hands mail over, for the accounts and API keys that it names."""
    return ListenerSettings(
        address=f"unix:{settings.console_smtp}",
        unix_path=settings.console_smtp,
        networks=(),
        line_endings=LineEndings.REJECT,
        auth=ListenerAuth.OPTIONAL,
        is_console=True,
    )


def _key(listener: ListenerSettings) -> str:
    if listener.endpoint is not None:
        return str(listener.endpoint)
    if listener.unix_path is not None:
        return f"unix:{listener.unix_path}"
    return f"systemd:{listener.systemd_name}"


def _is_in_the_way(bound: Bound, error: AddressInUse) -> bool:
    """Tell whether it has that port at the address, or at all of its kind; or the address means all."""
    family = socket.AF_INET6 if ":" in error.ip else socket.AF_INET
    names = [each.getsockname() for each in bound.sockets if each.family == family]
    return any(
        str(port) == port_of(error.address) and (ip == error.ip or {ip, error.ip} & _ALL)
        for ip, port, *_ in names
    )


def _wanted(settings: Settings) -> Iterator[tuple[str, Callable[[], Bound]]]:
    """Yield each address that the settings name, and what binds it."""
    directory = Path(settings.control_socket).parent  # listeners may be there too
    if settings.metrics is not None:
        yield str(settings.metrics), partial(_bind_tcp, settings.metrics)
    # Who knocks at a socket file is let in at once: those are made when all else could be had.
    for listener in sorted(settings.listeners, key=lambda each: each.unix_path is not None):
        yield _key(listener), partial(_bind, listener, directory)
    for path in (settings.control_socket, settings.console_smtp):
        yield f"unix:{path}", partial(_bind_unix, path, CONTROL_MODE, directory)


def _bind(listener: ListenerSettings, directory: Path) -> Bound:
    if listener.endpoint is not None:
        return _bind_tcp(listener.endpoint)
    if listener.unix_path is not None:
        return _bind_unix(listener.unix_path, LISTENER_MODE, directory)
    message = (
        f"cannot listen on {listener.address}: systemd passed no socket of that name;"
        f" the socket unit needs FileDescriptorName={listener.systemd_name}"
    )
    raise StartError(message)


def _bind_tcp(endpoint: HostPort) -> Bound:
    return Bound(bind_tcp(endpoint))


def _bind_unix(path: str, mode: int, ours: Path) -> Bound:
    """Listen on a socket file; the directory `ours` is made where it is missing."""
    if Path(path).parent == ours:
        make_directory(ours, 0o755)
    return listen_unix(path, mode)

"""Whether the addresses are free where relayd will take mail, and which program has one that is not."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from relayd.errors import StartError
from relayd.settings import HostPort, Settings
from relayd.sockets import listen_tcp

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))  # proc_pid_net(5)
_LISTENS = "0A"
_OURS = "/relayd.service"  # a control group: it is started again and has the address then, too


def taken_ports(settings: Settings, option: str) -> Iterator[str]:
    """Yield a line for each address that somebody else listens on; `option` names the settings in a command."""
    for number, listener in enumerate(settings.listeners):
        endpoint = listener.endpoint
        if endpoint is None or _is_free(endpoint):
            continue
        holders = _holders(endpoint.port)
        if not any(_OURS in _text(f"/proc/{process}/cgroup") for process in holders):
            who = ", ".join(f"{_name(process)} (process {process})" for process in holders)
            yield (
                f"{endpoint}: {who or 'another program'} listens there: stop it before relayd starts, or choose"
                f" another port: relayd{option} config set listen.{number}.address HOST:PORT"
            )


def _is_free(endpoint: HostPort) -> bool:
    try:
        sockets = listen_tcp(endpoint)
    except StartError as refused:
        cause = refused.__cause__
        return not (isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE)
    for each in sockets:
        each.close()
    return True


def _holders(port: int) -> Sequence[str]:
    """Return the processes that listen on a port of any address; none: this user may not see them."""
    sockets = {f"socket:[{number}]" for number in _sockets(port)}
    return [
        path.name
        for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name))
        if sockets & _open(path / "fd")
    ]


def _sockets(port: int) -> Iterator[str]:
    for table in _TABLES:
        for line in _text(table).splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]


def _open(folder: Path) -> set[str]:
    found = set()
    with suppress(OSError):  # of somebody else, or gone by now
        for each in folder.iterdir():
            with suppress(OSError):
                found.add(str(each.readlink()))
    return found


def _name(process: str) -> str:
    return _text(f"/proc/{process}/comm").strip()


def _text(path: Path | str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""What systemd tells a service, and what it wants to hear back.

Owns the environment variables of the service manager: they are taken out as they are read, so
that no child process mistakes them for its own. Without systemd everything here does nothing.

Source: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
"""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

from relayd.errors import StartError

FIRST_FD = 3  # SD_LISTEN_FDS_START


class Notifier:
    """Tells the service manager how the daemon is; never raises, never blocks."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")

    def send(self, *assignments: str) -> None:
        """Send assignments such as "READY=1" in one datagram."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(0)
            channel.sendto("\n".join(assignments).encode(), address)

    def reloading(self) -> None:
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def upgrading(self, *, within: float) -> None:
        """Ask for more time to start: it ends within so many seconds, or is asked for again."""
        microseconds = int(within * 1_000_000)
        self.send(
            f"EXTEND_TIMEOUT_USEC={microseconds}",
            "STATUS=Bringing the queue of an older relayd up to date; the log has the steps",
        )


def watchdog_period(environment: MutableMapping[str, str]) -> float | None:
    """Return within how many seconds a sign of life must follow another; None if nobody waits."""
    microseconds = environment.pop("WATCHDOG_USEC", "")
    pid = environment.pop("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or pid != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000


def inherited_sockets(
    environment: MutableMapping[str, str], *, first: int = FIRST_FD
) -> dict[str, tuple[socket.socket, ...]]:
    """Return the listening sockets that systemd passed, by their FileDescriptorName=.

    A socket unit with several ListenStream= lines gives one name to all of them. Raises
    StartError for a descriptor that is no listening stream socket.
    """
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    found: dict[str, tuple[socket.socket, ...]] = {}
    for index in range(int(count)):
        name = names[index] if index < len(names) and names[index] else "unknown"
        found[name] = (*found.get(name, ()), _adopt(first + index, name))
    return found


def _adopt(descriptor: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - positional only
        adopted = socket.socket(fileno=descriptor)
    except OSError as error:
        reason = f"descriptor {descriptor} from the socket unit of {name!r} is no socket"
        raise StartError(f"{reason}: {error.strerror}") from error
    listening = adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if adopted.type != socket.SOCK_STREAM or not listening:
        adopted.close()
        message = f"the socket unit of {name!r} must use ListenStream= and Accept=no"
        raise StartError(message)
    adopted.settimeout(0)
    return adopted

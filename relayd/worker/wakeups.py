"""Hints between the workers of one machine, and together with others: something may have become due that is yours.

A datagram without content to every other worker, on sockets beside the control socket. The first is
given at once; of those in the moment after it one is left.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from relayd.ports.wakeups import Wakeups

_REST = 0.01  # seconds between two hints: each lets every worker look at the store

log = structlog.get_logger()


class Together:
    """`relayd.ports.wakeups.Wakeups` of several kinds: each reaches other workers."""

    def __init__(self, kinds: Sequence[Wakeups]) -> None:
        self._kinds = kinds

    @property
    def are_heard(self) -> bool:
        return all(each.are_heard for each in self._kinds)

    def give(self) -> None:
        for each in self._kinds:
            each.give()

    def give_pauses(self) -> None:
        for each in self._kinds:
            each.give_pauses()

    def give_joined(self) -> None:
        for each in self._kinds:
            each.give_joined()

    def close(self) -> None:
        for each in self._kinds:
            each.close()


class SocketWakeups:
    """`relayd.ports.wakeups.Wakeups` between the workers of one machine."""

    def __init__(self, control_socket: str, name: str, on_hint: Callable[[], None]) -> None:
        """Listen under `name`, which no other live worker has; without a place, be deaf."""
        self._directory = Path(f"{control_socket}.wake")
        self._path = self._directory / name
        self._on_hint = on_hint
        self._is_resting = self._is_due = self._has_place = False
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._path.unlink(missing_ok=True)
            self._socket.bind(str(self._path))
        except OSError as error:
            log.warning("wakeups_off", fault="local", reason=str(error))
        else:
            self._loop.add_reader(self._socket, self._heard, self._socket)
            self._has_place = True

    @property
    def are_heard(self) -> bool:
        return self._has_place

    def give(self) -> None:
        """Tell the others: now, or when the rest after the last time is over."""
        if self._is_resting:
            self._is_due = True
            return
        self._is_resting = True
        self._loop.call_later(_REST, self._end_rest)
        self._tell()

    def give_pauses(self) -> None:
        """All workers of this machine share a number that changes with the rules: a hint is enough."""
        self.give()

    def give_joined(self) -> None:
        """All workers of this machine are counted by the settings."""

    def close(self) -> None:
        if self._socket is not None:
            self._tell()
            self._loop.remove_reader(self._socket)
            self._socket.close()
            with suppress(OSError):
                self._path.unlink()

    def _end_rest(self) -> None:
        was_due, self._is_resting, self._is_due = self._is_due, False, False
        if was_due:
            self.give()

    def _tell(self) -> None:
        if self._socket is None:
            return
        with suppress(OSError):  # the directory may be gone
            for path in self._directory.iterdir():
                if path != self._path:
                    with suppress(OSError):  # a dead worker's, or one that has hints enough
                        self._socket.sendto(b"", str(path))

    def _heard(self, sock: socket.socket) -> None:
        with suppress(OSError):  # none is left, or what there is cannot be read now
            while True:
                sock.recv(1)
        self._on_hint()

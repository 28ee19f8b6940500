"""Clients that are connected and say nothing, so that a relay has thousands of descriptors."""

import resource
import select
import socket
from contextlib import suppress

MANY = 10_000
_OTHERS = 2_600  # descriptors of a worker that are for other things, and some to spare


def as_many_as_fit() -> int:
    """Return how many clients a worker of this machine may have, up to MANY."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MANY if hard == resource.RLIM_INFINITY else min(MANY, hard - _OTHERS)


class Crowd:
    """All of them; who is hung up on comes back."""

    def __init__(self, port: int, count: int) -> None:
        self._port, self._count = port, count
        self._gone = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    @property
    def settings(self) -> str:
        """Return the limits that let them in, and others."""
        most = self._count + 500
        return f"connections = {most}\nconnections_per_client = {most}"

    def come(self) -> None:
        """Have all of them connected. Raises OSError where nobody listens."""
        for descriptor, _ in self._gone.poll(0, max(1, len(self._clients))):
            self._gone.unregister(descriptor)
            self._clients.pop(descriptor).close()
        while len(self._clients) < self._count:
            client = socket.create_connection(("127.0.0.1", self._port))
            self._gone.register(client, select.EPOLLRDHUP)
            self._clients[client.fileno()] = client

    def leave(self) -> None:
        for client in self._clients.values():
            with suppress(OSError):
                client.close()
        self._gone.close()

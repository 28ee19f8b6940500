"""What a worker has of the machine: its clock, and the network as `relayd.net` serves it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from weakref import WeakSet

from relayd.net import smtp_client
from relayd.ports.outward import Clock, Connection, Target


class SystemClock:
    """`relayd.ports.outward.Clock` on the machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 -- this is Clock

    def monotonic(self) -> float:
        return time.monotonic()


class SmtpTransport:
    """`relayd.ports.outward.Transport` over `relayd.net`."""

    def __init__(self, *, helo: str, clock: Clock) -> None:
        self._helo = helo
        self._clock = clock
        self._timers = smtp_client.Timers()
        self._tls = smtp_client.TlsContexts()
        self._made: WeakSet[smtp_client.Connection] = WeakSet()

    @property
    def connections(self) -> int:
        """How many are open."""
        return sum(each.is_open for each in self._made)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return await smtp_client.resolve(host, port)

    async def connect(self, target: Target) -> Connection:
        connection = await smtp_client.connect(
            target, helo=self._helo, timers=self._timers, tls=self._tls, clock=self._clock
        )
        self._made.add(connection)
        return connection

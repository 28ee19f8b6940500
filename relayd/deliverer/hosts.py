"""Opening a session with a next hop that the settings name: its hosts in their order.

A host that failed is asked again only when its time is over or no other is left, so that a dead
first host does not cost every new connection its time-out.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from relayd.mail.attempt import RouteKind
from relayd.policy.route import HostPort
from relayd.policy.verdict import NO_MAIL_HERE
from relayd.ports import Clock, Connection, SessionFailed, Target, Transport
from relayd.settings import SmarthostSettings

_LEFT_OUT_FOR = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFailure:
    """A host that could not be used, and why."""

    host: HostPort
    at: datetime
    failed: SessionFailed
    route: RouteKind = RouteKind.SMARTHOST
    preference: int = 0  # of its MX record


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A connection, and what happened on the way to it."""

    connection: Connection
    failures: tuple[HostFailure, ...] = ()
    outranked: bool = False  # a better MX than this one failed in this attempt (S-17)


class NoHost(Exception):
    """No host could be used; `failures` is never empty."""

    def __init__(self, failures: tuple[HostFailure, ...]) -> None:
        self.failures = failures
        super().__init__("; ".join(f"{failure.host}: {failure.failed}" for failure in failures))

    @property
    def is_final(self) -> bool:
        """It is proven that there is nowhere to deliver to: no reason to wait, nobody to spare."""
        breakdown = self.failures[-1].failed.breakdown
        return breakdown is not None and bool(breakdown.status)

    @property
    def is_unanimous(self) -> bool:
        """Every host of a direct route says that it takes no mail at all (S-16, RFC 7504)."""
        return all(
            failure.route is RouteKind.DIRECT
            and failure.failed.reply is not None
            and failure.failed.reply.code in NO_MAIL_HERE
            for failure in self.failures
        )


class NextHop(Protocol):
    """Where the mail of one destination goes."""

    @property
    def lingers(self) -> float:
        """Seconds a connection waits for the next message before it is given back."""
        ...

    async def connect(self) -> Session:
        """Open a session, or take an idle one. Raises NoHost."""
        ...

    def keeps(self, session: Session) -> bool:
        """Tell whether a lane may carry on with its session."""
        ...

    async def give_back(self, session: Session) -> None:
        """Take a session that its lane has no more use for."""
        ...


class Smarthost:
    """A next hop of configured hosts; knows which of them answered lately."""

    lingers = 10.0

    def __init__(self, settings: SmarthostSettings, *, transport: Transport, clock: Clock) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._down_until: dict[HostPort, float] = {}  # monotonic

    async def connect(self) -> Session:
        failures: list[HostFailure] = []
        for host in self._candidates():
            try:
                connection = await self._connect_to(host)
            except SessionFailed as failed:
                failures.append(HostFailure(host=host, at=self._clock.now(), failed=failed))
                self._down_until[host] = self._clock.monotonic() + _LEFT_OUT_FOR
            else:
                self._down_until.pop(host, None)
                return Session(connection=connection, failures=tuple(failures))
        raise NoHost(tuple(failures))

    def keeps(self, session: Session) -> bool:
        return session.connection.is_usable

    async def give_back(self, session: Session) -> None:
        await session.connection.quit()

    def _candidates(self) -> tuple[HostPort, ...]:
        """Hosts that are not left out, then those that are."""
        now = self._clock.monotonic()
        out = [host for host in self._settings.hosts if self._down_until.get(host, now) > now]
        return (*(host for host in self._settings.hosts if host not in out), *out)

    async def _connect_to(self, host: HostPort) -> Connection:
        last: SessionFailed | None = None
        for ip in await self._transport.resolve(host.host, host.port):
            target = Target(
                route=RouteKind.SMARTHOST,
                host=host.host,
                ip=ip,
                port=host.port,
                tls=self._settings.tls,
                login=self._settings.login,
            )
            try:
                return await self._transport.connect(target)
            except SessionFailed as failed:
                last = failed
        assert last is not None, "resolve() gives at least one address or raises"
        raise last

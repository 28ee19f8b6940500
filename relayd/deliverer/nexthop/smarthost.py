"""Opening a session with a next hop that the settings name: its hosts in their order."""

from collections import deque
from collections.abc import Sequence

import structlog

from relayd.deliverer.connections import Connections, Leave, Share
from relayd.deliverer.nexthop.account import Account
from relayd.deliverer.nexthop.hosts import ANYBODY, NO_MESSAGE, HostFailure, NoHost, Session
from relayd.deliverer.nexthop.search import DeadHosts, Search
from relayd.mail.attempt import RouteKind
from relayd.mail.ids import MessageId
from relayd.mail.reply import Reply, Stage
from relayd.policy.delivery.route import HostPort, RouteFacts
from relayd.policy.delivery.throttle import SlowStart
from relayd.policy.seldom import SeldomEach
from relayd.policy.tls.ladder import asked_by
from relayd.ports.outward import Clock, Target, Transport
from relayd.settings import SmarthostSettings

_TOLD_EVERY = 300.0  # seconds
_STAND_IN_WITHIN = 10.0
"""Seconds for a host to let us in, after another one has put the mail off.

That one works, and is to have its other mail meanwhile.
"""
_HOSTS = 100

log = structlog.get_logger()


class Smarthost:
    """A next hop of configured hosts, with all their addresses."""

    idle_timeout = 10.0

    def __init__(
        self,
        settings: SmarthostSettings,
        *,
        connections: int,
        transport: Transport,
        clock: Clock,
        dead_hosts: DeadHosts,
        slots: Connections,
        account: Account,
    ) -> None:
        self._settings = settings
        self.account = account
        self._slow_start = SlowStart(connections)
        self._transport = transport
        self._clock = clock
        self._dead_hosts = dead_hosts
        self._share = Share(slots)
        self._resting: dict[Leave, None] = {}  # the longest first
        self._told = SeldomEach(_TOLD_EVERY, most=_HOSTS)

    @property
    def is_limited(self) -> bool:
        return self.account.is_limited

    @property
    def allowed(self) -> int:
        return self._share.limit(self._slow_start.allowed)

    async def connect(
        self,
        after: Sequence[HostFailure] = (),
        facts: RouteFacts = ANYBODY,  # noqa: ARG002 -- its address is one of the settings
        message: MessageId = NO_MESSAGE,  # noqa: ARG002 -- it knows our login
    ) -> Session:
        await self._share.acquire(first=bool(after))
        try:
            return await self._search(after)
        except BaseException:
            self._share.release()
            raise

    async def _search(self, after: Sequence[HostFailure]) -> Session:
        is_stand_in = any(each.has_put_off for each in after) and not any(
            each.lacks for each in after
        )
        search = Search(
            after,
            transport=self._transport,
            clock=self._clock,
            dead_hosts=self._dead_hosts,
            turned_away=self.turned_away,
            each_within=_STAND_IN_WITHIN if is_stand_in else None,
        )
        hosts = sorted(self._settings.hosts, key=lambda host: search.is_out((host.host, host.port)))
        todo: deque[HostPort | Target] = deque(hosts)  # names to look up, addresses to ask
        is_spared = False  # a host that failed lately, since another one has put the mail off
        while todo and not search.is_over:
            each = todo.popleft()
            address = (each.host if isinstance(each, HostPort) else each.ip, each.port)
            if is_stand_in and search.is_out(address):
                is_spared = True
            elif isinstance(each, HostPort):
                ips = await search.resolve(each, source=self._settings.source_address)
                found = [self._target(each, ip) for ip in ips]
                todo.extend(one for one in found if search.is_out((one.ip, one.port)))
                todo.extendleft(
                    one for one in reversed(found) if not search.is_out((one.ip, one.port))
                )
            elif search.may_ask(each.host, (each.ip, each.port)):  # two names may share it
                connection = await search.ask(each)
                if connection is not None:
                    self._tell(search.failures)
                    return Session(connection=connection, failures=search.failures)
        raise NoHost(search.failures, all_asked=not todo and not is_spared)

    def _tell(self, failures: Sequence[HostFailure]) -> None:
        """Log, now and then, that one host stands in for another: mail goes out, so nobody would notice."""
        for each in failures:
            if self._told.is_due(each.host, self._clock.monotonic()):
                log.warning(
                    "smarthost_host_failed", remote_host=f"{each.host}", reason=f"{each.failed}"
                )

    def keeps(
        self,
        session: Session,
        facts: RouteFacts = ANYBODY,  # noqa: ARG002 -- as for `connect`
    ) -> bool:
        most = self._settings.per_connection
        is_used_up = most and session.connection.transactions >= most
        return session.connection.is_usable and not is_used_up

    def rest(self, leave: Leave) -> None:
        self._resting[leave] = None
        self._share.rest(leave)

    def resume(self, leave: Leave) -> None:
        self._resting.pop(leave, None)
        self._share.resume(leave)

    async def give_back(self, session: Session) -> None:
        try:
            await session.connection.quit()
        finally:
            self._share.release()

    def has_another_host(self, session: Session) -> bool:
        peer, failed = session.connection.peer, [each.host for each in session.failures]
        return any(
            (each.host, each.port) != (peer.host, peer.port) and each not in failed
            for each in self._settings.hosts
        )

    def has_another_source(
        self,
        session: Session,  # noqa: ARG002 -- what it refuses is no matter of our address
        facts: RouteFacts = ANYBODY,  # noqa: ARG002
    ) -> bool:
        return False

    async def saw(
        self,
        session: Session,
        replies: Sequence[tuple[Reply | None, Stage]],
        message: MessageId,
        facts: RouteFacts = ANYBODY,
    ) -> None:
        """Nothing: what concerns the account is seen where the mail is judged."""

    def limit(self, connections: int) -> None:
        """Allow so many at most from now on; those beyond it leave, or end with the message they carry."""
        self._slow_start = self._slow_start.limited(connections)
        for leave in tuple(self._resting)[: max(0, self._share.held - connections)]:
            leave()

    def answered(self) -> None:
        self._slow_start = self._slow_start.raised()

    def turned_away(self) -> None:
        self._slow_start = self._slow_start.halved()

    def _target(self, host: HostPort, ip: str) -> Target:
        return Target(
            route=RouteKind.SMARTHOST,
            host=host.host,
            ip=ip,
            port=host.port,
            requirement=asked_by(self._settings.tls, ip),
            login=self._settings.login,
            assume_8bit=self._settings.assume_8bit,
            source_ip=self._settings.source_address or None,
            helo=self._settings.ehlo,
            certificate=self._settings.certificate,
        )

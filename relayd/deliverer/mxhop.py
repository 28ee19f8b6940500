"""Opening a session with a domain's own mail host, found by DNS.

Looks up, lets `policy.mx` choose, and tries the candidates in that order. Domains that share their
MX hosts share a `Site`: the number of connections to it, and those that are idle.

Source: RFC 5321 §5.1.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from weakref import WeakValueDictionary

from relayd.deliverer.hosts import HostFailure, NoHost, Session
from relayd.mail.attempt import Breakdown, RouteKind
from relayd.mail.dns import Addresses, IpAddress
from relayd.mail.outcome import Category, Fault
from relayd.mail.reply import Stage
from relayd.policy.mx import (
    Candidate,
    Candidates,
    HostPlan,
    MxRules,
    Undeliverable,
    choose,
    plan_hosts,
)
from relayd.policy.route import HostPort
from relayd.ports import Clock, Connection, Resolver, SessionFailed, Target, Transport
from relayd.settings import DirectSettings

_FIND_WITHIN = 300.0  # seconds to find a working host (S-24)
_IDLE_FOR = 10.0  # seconds a connection without work is kept
_REUSED_AT_MOST = 100  # transactions


@dataclass(slots=True, weakref_slot=True, eq=False)
class Site:
    """What the domains with one set of MX hosts share, in this worker.

    There are never more connections, in use and idle ones together, than places: a connection is
    opened only by who has a place, and when no idle one will do; an idle one is left for it then.
    """

    places: asyncio.Semaphore
    idle: list[tuple[Connection, asyncio.TimerHandle]] = field(default_factory=list)


class Sites:
    """All sites that this worker has to do with at present: in use, waited for, or idle."""

    def __init__(self, connections: int, tasks: asyncio.TaskGroup) -> None:
        self._connections = connections
        self._tasks = tasks
        self._sites: WeakValueDictionary[frozenset[str], Site] = WeakValueDictionary()

    def of(self, hosts: frozenset[str]) -> Site:
        return self._sites.setdefault(hosts, Site(asyncio.Semaphore(self._connections)))

    def leave(self, site: Site, connection: Connection) -> None:
        """Say goodbye to an idle connection. It has a place until it is closed."""
        self._tasks.create_task(_leave(site, connection))

    def close(self) -> None:
        """Leave all idle connections."""
        for site in tuple(self._sites.values()):
            for connection, timer in site.idle:
                timer.cancel()
                self.leave(site, connection)
            site.idle.clear()


async def _leave(site: Site, connection: Connection) -> None:
    async with site.places:
        await connection.quit()


@dataclass(frozen=True, slots=True, kw_only=True)
class MxParts:
    """What all MX hops of a worker share."""

    settings: DirectSettings
    rules: MxRules
    resolver: Resolver
    transport: Transport
    sites: Sites
    clock: Clock
    chance: Callable[[], float]
    is_own: Callable[[IpAddress], bool]  # a connection there would come back to us


class MxHop:
    """The next hop of one domain."""

    lingers = 0.0  # an idle connection may be of use to another domain of the site

    def __init__(self, domain: str, parts: MxParts) -> None:
        self._domain = domain
        self._parts = parts
        self._site_of: dict[int, Site] = {}  # by the id of a connection in use

    async def connect(self) -> Session:
        chosen = await self.candidates()  # bounded by the resolver
        if not isinstance(chosen, Candidates):
            raise NoHost((self._proof(chosen),))
        site = self._parts.sites.of(frozenset(each.host for each in chosen.candidates))
        await site.places.acquire()  # as long as it takes: the hosts are not to blame
        try:
            session = await self._take_idle(site, chosen) or await self._try_all(chosen)
        except BaseException:
            site.places.release()
            raise
        self._site_of[id(session.connection)] = site
        return session

    def keeps(self, session: Session) -> bool:
        """Tell whether it has not had its share yet; others may wait for the place."""
        connection = session.connection
        return connection.is_usable and connection.transactions < _REUSED_AT_MOST

    async def give_back(self, session: Session) -> None:
        connection = session.connection
        site = self._site_of.pop(id(connection), None)
        if site is None:
            await connection.quit()
            return
        if self.keeps(session):
            loop = asyncio.get_running_loop()
            timer = loop.call_later(_IDLE_FOR, self._drop, site, connection)
            site.idle.append((connection, timer))
        else:
            await connection.quit()
        site.places.release()

    async def candidates(self) -> Candidates | Undeliverable | Breakdown:
        """Return whom to connect to, or why nobody; also what `relayd route` shows."""
        parts = self._parts
        answer = await parts.resolver.mx(self._domain)
        plan = plan_hosts(self._domain, answer, parts.rules, chance=parts.chance)
        if not isinstance(plan, HostPlan):
            return plan
        names = [host.name for host in plan.hosts]
        found = await asyncio.gather(*(parts.resolver.addresses(name) for name in names))
        addresses: Mapping[str, Addresses] = dict(zip(names, found, strict=True))
        own = frozenset(ip for each in found for ip in each.ips if parts.is_own(ip))
        return choose(plan, addresses, replace(parts.rules, own_addresses=own))

    async def _take_idle(self, site: Site, chosen: Candidates) -> Session | None:
        """Return an idle connection to a best host of this domain; without one, make room.

        To another host, it may be a backup: that is for when the best ones were asked.
        """
        best = chosen.candidates[0].preference
        hosts = {one.host for one in chosen.candidates if one.preference == best}
        suited = [
            entry for entry in site.idle if entry[0].is_usable and entry[0].peer.host in hosts
        ]
        for connection, timer in (suited or site.idle)[-1:]:
            timer.cancel()
            site.idle.remove((connection, timer))
            if suited:
                return Session(connection=connection, outranked=_is_outranked(chosen, best))
            await connection.quit()
        return None

    async def _try_all(self, chosen: Candidates) -> Session:
        failures: list[HostFailure] = []
        try:
            async with asyncio.timeout(_FIND_WITHIN):
                for candidate in chosen.candidates:
                    try:
                        connection = await self._parts.transport.connect(self._target(candidate))
                    except SessionFailed as failed:
                        failures.append(self._failure(candidate, failed))
                    else:
                        return Session(
                            connection=connection,
                            failures=tuple(failures),
                            outranked=_is_outranked(chosen, candidate.preference, failures),
                        )
        except TimeoutError:
            failures.append(self._proof(self._too_slow()))
        raise NoHost(tuple(failures))

    def _too_slow(self) -> Breakdown:
        return Breakdown(
            category=Category.CONNECTION_FAILURE,
            fault=Fault.PEER,
            reason=f"no mail host of {self._domain} was ready within {_FIND_WITHIN:g} s",
        )

    def _target(self, candidate: Candidate) -> Target:
        settings = self._parts.settings
        family = ip_address(candidate.ip).version
        source = [ip for ip in settings.source_addresses if ip_address(ip).version == family]
        picked = source[int(self._parts.chance() * len(source))] if source else None
        return Target(
            route=RouteKind.DIRECT,
            host=candidate.host,
            ip=candidate.ip,
            port=settings.port,
            tls=settings.tls,
            login=None,
            source_ip=picked,
        )

    def _failure(self, candidate: Candidate, failed: SessionFailed) -> HostFailure:
        return HostFailure(
            host=HostPort(host=candidate.host, port=self._parts.settings.port),
            at=self._parts.clock.now(),
            failed=failed,
            route=RouteKind.DIRECT,
            preference=candidate.preference,
        )

    def _proof(self, why: Undeliverable | Breakdown) -> HostFailure:
        """Return what the DNS says as the failure of the domain itself."""
        if isinstance(why, Undeliverable):
            why = Breakdown(
                category=why.category, fault=Fault.DNS, reason=why.reason, status=why.status
            )
        return HostFailure(
            host=HostPort(host=self._domain, port=self._parts.settings.port),
            at=self._parts.clock.now(),
            failed=SessionFailed(Stage.CONNECT, why),
            route=RouteKind.DIRECT,
        )

    def _drop(self, site: Site, connection: Connection) -> None:
        """An idle connection has waited long enough."""
        site.idle = [(each, timer) for each, timer in site.idle if each is not connection]
        self._parts.sites.leave(site, connection)


def _is_outranked(
    chosen: Candidates, preference: int, failures: Sequence[HostFailure] = ()
) -> bool:
    """Tell whether a host that is better than `preference` is out of reach just now (S-17)."""
    if chosen.unheard is not None and chosen.unheard < preference:
        return True
    return any(failure.preference < preference for failure in failures)

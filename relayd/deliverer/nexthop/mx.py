"""Opening a session with a domain's own mail host, found by DNS.

Looks up, lets `policy.mx` choose, and tries the candidates in that order, those that failed lately
after the others. What is shared with the other domains of the same hosts is in `sites`.

Source: RFC 5321 §5.1.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address

from relayd.deliverer.connections import Leave
from relayd.deliverer.nexthop.hosts import (
    ANYBODY,
    Address,
    HostFailure,
    NoHost,
    NotYet,
    Session,
)
from relayd.deliverer.nexthop.search import Search
from relayd.deliverer.nexthop.site_pace import SitePaces
from relayd.deliverer.nexthop.sites import Site, Sites
from relayd.deliverer.nexthop.warm_ups import WarmUps
from relayd.deliverer.tally import TlsTally
from relayd.deliverer.trust import DomainTrust, Trust
from relayd.errors import StoreBroken, StoreError
from relayd.mail.attempt import Breakdown, Peer, RouteKind
from relayd.mail.dns import Addresses, IpAddress
from relayd.mail.ids import MessageId
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Fault
from relayd.policy.delivery.hosts import turned_away
from relayd.policy.delivery.mx import (
    Candidate,
    Candidates,
    HostPlan,
    MxRules,
    Undeliverable,
    choose,
    plan_hosts,
)
from relayd.policy.delivery.route import HostPort, RouteFacts, TlsAsked
from relayd.policy.delivery.source import pool_of, unused_families
from relayd.policy.delivery.throttle import TOKEN_WAIT
from relayd.policy.tls.ladder import Requirement
from relayd.policy.tls.require import HostRefused
from relayd.ports.outward import Clock, Connection, Resolver, SessionFailed, Target, Transport
from relayd.ports.sites import SiteKey
from relayd.settings import DirectSettings
from relayd.trace import tracing

_HostFrom = tuple[str, str | None]  # a host, and the address of ours that it sees; None: any
_IDLE_FOR = 10.0  # seconds a connection without work is kept
_REUSED_AT_MOST = 100  # transactions
_RATE = "the rate limit of its mail hosts (direct.messages_per_minute)"
_FULL = "all {} connections that its mail hosts are given now are in use"
_WARM_UP = "our address is new to its mail hosts (direct.warm_up)"
_DOWN = "none of its mail hosts was ready when mail of another domain asked them"
_WARMING = 300.0  # seconds: no longer wait is foreseen
_STORE_AGAIN = 5.0  # seconds until a store that cannot be read is asked again
_AGAIN_AFTER = 30.0  # seconds, when somebody has just found no host of the site ready


@dataclass(frozen=True, slots=True, kw_only=True)
class MxParts:
    """What all MX hops of a worker share."""

    settings: DirectSettings
    rules: MxRules
    resolver: Resolver
    trust: Trust
    transport: Transport
    sites: Sites
    clock: Clock
    chance: Callable[[], float]
    is_own: Callable[[IpAddress], bool]  # a connection there would come back to us
    may_send_from: Callable[[IpAddress], bool]  # a connection may come from there
    warm_ups: WarmUps
    paces: SitePaces | None = None  # None: what sites say of us changes nothing
    tally: TlsTally | None = None  # None: no TLS reports


@dataclass(frozen=True, slots=True)
class _Use:
    """What a connection in use is for."""

    site: Site
    key: SiteKey
    asks: bool  # its message asks a site that was left alone


@dataclass(frozen=True, slots=True)
class _Way:
    """Whom to ask in one attempt, and what they have to show."""

    chosen: Candidates
    trust: DomainTrust


class MxHop:
    """The next hop of one domain."""

    idle_timeout = 0.0  # an idle connection may be of use to another domain of the site

    def __init__(self, domain: str, parts: MxParts, asks: TlsAsked = TlsAsked.NOTHING) -> None:
        self._domain = domain
        self._asks = asks
        self._parts = parts
        self._site: Site | None = None  # the latest; it changes with the DNS only
        self._key: SiteKey | None = None  # of that
        self._uses: dict[int, _Use] = {}  # by the id of a connection in use

    @property
    def allowed(self) -> int:
        site = self._site
        return 1 if site is None else site.share.limit(site.slots.allowed)

    @property
    def is_limited(self) -> bool:
        return self._parts.sites.are_limited or self._is_held_back

    @property
    def _is_held_back(self) -> bool:
        paces = self._parts.paces
        return paces is not None and self._key is not None and paces.holds_back(self._key)

    account = None

    async def connect(
        self, after: Sequence[HostFailure] = (), facts: RouteFacts = ANYBODY
    ) -> Session:
        try:
            return await self._connect(after, facts)
        except NoHost as none:
            if all(not each.senders for each in self._parts.settings.sources):
                raise
            failures = tuple(map(_without_blame, none.failures))
            raise NoHost(failures, all_asked=none.all_asked) from None

    async def _connect(self, after: Sequence[HostFailure], facts: RouteFacts) -> Session:
        chosen = await self.candidates(facts)  # bounded by the resolver
        if tracing.is_on:
            _tell_choice(chosen)
        if not isinstance(chosen, Candidates):
            raise NoHost((*after, self._proof(chosen)))
        failed = {failure.address for failure in after}
        if all(self._address(each) in failed for each in chosen.candidates):
            raise NoHost(tuple(after), all_asked=chosen.is_all)
        way = _Way(chosen, await self._trust(chosen))
        site = self._parts.sites.of(chosen.site)
        self._site = site
        self._key = key = SiteKey(site.key, chosen.candidates[0].source_ip or "")
        asks = await self._may_enter(key, after)
        try:
            session = await self._admitted(site, key, way, after, asks=asks)
        except BaseException:
            if asks and self._parts.paces is not None:
                await self._parts.paces.ended(key)
            raise
        self._uses[id(session.connection)] = _Use(site, key, asks)
        self._parts.warm_ups.take(chosen.site, session.connection.peer.local_ip)
        return session

    async def _may_enter(self, key: SiteKey, after: Sequence[HostFailure]) -> bool:
        """Wait for what the site is given; tell whether this message asks. Raises NotYet."""
        paces = self._parts.paces
        return paces is not None and not after and await paces.enter(key)

    async def _admitted(
        self,
        site: Site,
        key: SiteKey,
        way: _Way,
        after: Sequence[HostFailure],
        *,
        asks: bool,
    ) -> Session:
        """Open a session with a site that may have one more message."""
        paces = self._parts.paces
        await self._enter(site, way.chosen.names, may_begin=bool(after))
        try:
            if paces is not None and not after and not asks:
                paces.check(key)  # to wait for a slot may take long
            return await self._open(site, way, after)
        except BaseException as error:
            site.slots.release()
            if paces is not None and isinstance(error, NoHost):
                await paces.saw(key, _replies(error.failures[len(after) :]))
            raise

    async def _trust(self, chosen: Candidates) -> DomainTrust:
        """Return what the domain asks of its hosts, with the best ones looked up already. Raises NotYet.

        Before a slot is taken: nobody else waits for the answers.
        """
        trust = self._parts.trust.of(self._domain, is_lifted=self._asks is TlsAsked.LIFTED)
        best = {each.host: each for each in chosen.candidates if each.preference == chosen.best}
        try:
            await trust.load()
            await asyncio.gather(*(trust.judge(each, chosen) for each in best.values()))
        except StoreBroken:
            raise
        except StoreError as error:
            raise self._not_yet(_STORE_AGAIN, str(error)) from error
        return trust

    def keeps(self, session: Session, facts: RouteFacts = ANYBODY) -> bool:
        """Tell whether it has not had its share yet; others may wait for the slot.

        With a limited rate nobody holds a connection while waiting for a token. Mail of other
        senders may have to come from another address.
        """
        if self._parts.warm_ups.is_warming(session.connection.peer.local_ip):
            return False  # each message has its time
        pool = [each.address for each in pool_of(self._parts.settings.sources, facts)]
        if pool and session.connection.peer.local_ip not in pool:
            return False
        use = self._uses.get(id(session.connection))
        site = None if use is None else use.site
        gives_way = site is not None and site.share.gives_way
        return not self.is_limited and not gives_way and _is_fresh(session.connection)

    def rest(self, leave: Leave) -> None:
        """Nothing: no connection of this hop rests in a queue."""

    def resume(self, leave: Leave) -> None:
        """Nothing."""

    async def give_back(self, session: Session) -> None:
        connection = session.connection
        use = self._uses.pop(id(connection), None)
        if use is None:
            await connection.quit()
            return
        site = use.site
        if use.asks and self._parts.paces is not None:  # it was of no use
            await self._parts.paces.ended(use.key)
        if _is_fresh(connection) and not site.slots.is_crowded:
            self._parts.sites.rest(site, connection, for_seconds=_IDLE_FOR)
            site.slots.release()
            return
        try:
            await connection.quit()
        finally:
            site.share.release()
            site.slots.release()

    async def saw(
        self, session: Session, replies: Sequence[tuple[Reply | None, Stage]], message: MessageId
    ) -> None:
        use, paces = self._uses.get(id(session.connection)), self._parts.paces
        if use is None or paces is None:
            return
        self._uses[id(session.connection)] = replace(use, asks=False)
        all_replies = (*_replies(session.failures), *replies)
        await paces.saw(use.key, all_replies, message=message, asked=use.asks)

    def answered(self) -> None:
        if self._site is not None:
            self._site.slots.answered()

    def turned_away(self) -> None:
        if self._site is not None:
            self._site.slots.turned_away()

    async def candidates(
        self, facts: RouteFacts = ANYBODY
    ) -> Candidates | Undeliverable | Breakdown:
        """Return whom to connect to with mail of `facts`, or why nobody; also what `relayd route` shows."""
        parts = self._parts
        sources = tuple(each.address for each in pool_of(parts.settings.sources, facts))
        answer = await parts.resolver.mx(self._domain)
        plan = plan_hosts(self._domain, answer, parts.rules, chance=parts.chance)
        if not isinstance(plan, HostPlan):
            return plan
        names = [host.name for host in plan.hosts]
        found = await asyncio.gather(*(parts.resolver.addresses(name) for name in names))
        addresses: Mapping[str, Addresses] = dict(zip(names, found, strict=True))
        own = frozenset(ip for each in found for ip in each.ips if parts.is_own(ip))
        resting = frozenset(
            ip
            for ip in sources
            if not parts.may_send_from(ip_address(ip)) or parts.warm_ups.wait(plan.site, ip)
        )
        if parts.paces is not None and len(sources) > 1:
            resting |= parts.paces.resting(plan.site)
        rules = replace(
            parts.rules,
            own_addresses=own,
            sources=sources,
            resting=resting,
            unused=unused_families(
                parts.settings.families, sources, parts.settings.sources_named_by
            ),
        )
        return choose(plan, addresses, rules)

    async def _enter(self, site: Site, hosts: frozenset[str], *, may_begin: bool) -> None:
        """Wait for a token, unless it has one, and for a slot. Raises NotYet.

        For a slot as long as it takes: the hosts are not to blame. But when somebody finds meanwhile
        that none of these is ready, that need not be found again for every domain in the line.
        """
        failed, clock = site.searches_failed, self._parts.clock
        while True:
            wait = 0.0 if may_begin else self._parts.sites.token(site, self._domain)
            if wait > TOKEN_WAIT:
                raise self._not_yet(wait, _RATE)
            if wait and tracing.is_on:
                tracing.tell("token_awaited", seconds=round(wait, 3), reason=_RATE)
            due = clock.monotonic() + wait
            await asyncio.sleep(wait)
            if tracing.is_on and site.slots.is_full:
                tracing.tell("connection_awaited", reason=_FULL.format(site.slots.allowed))
            await site.slots.acquire()
            if site.has_failed(hosts, since=failed):
                site.slots.release()
                raise self._not_yet(_AGAIN_AFTER, _DOWN)
            if may_begin or clock.monotonic() - due <= TOKEN_WAIT:
                return
            site.slots.release()  # the token has lapsed: too many would begin at once

    def _not_yet(self, wait: float, why: str) -> NotYet:
        return NotYet(self._parts.clock.now() + timedelta(seconds=wait), why)

    async def _open(self, site: Site, way: "_Way", after: Sequence[HostFailure]) -> Session:
        chosen = way.chosen
        search = self._new_search(site, after)
        waits = [
            self._parts.warm_ups.wait(chosen.site, each.source_ip) for each in chosen.candidates
        ]
        if any(waits):
            chosen = replace(chosen, is_cut=True)
            way = replace(way, chosen=chosen)
        order = sorted(
            (
                each
                for each, wait in zip(chosen.candidates, waits, strict=True)
                if not wait and search.may_ask(self._address(each))
            ),
            key=lambda each: search.is_out(self._address(each)),
        )
        if not order:
            raise self._not_yet(min(_WARMING, *waits), _WARM_UP)
        best = {
            (each.host, each.source_ip) for each in order if each.preference == order[0].preference
        }
        connection = await self._take_idle(site, best, way.trust, search)
        if connection is not None:
            if tracing.is_on:
                tracing.chosen(connection.peer, "the connection is open already")
            return self._session(connection, order[0], chosen, search)
        await site.share.acquire(first=bool(after))
        try:
            return await self._search(order, way, self._new_search(site, after))
        except NoHost as none:
            site.share.release()
            is_of_policy = any(each.is_of_policy for each in none.failures)
            if not after and not is_of_policy and not turned_away(none.facts):
                site.note_failed(chosen.names)
            raise
        except BaseException:
            site.share.release()
            raise

    def _new_search(self, site: Site, after: Sequence[HostFailure]) -> Search:
        """Return one that begins now."""
        return Search(
            after,
            transport=self._parts.transport,
            clock=self._parts.clock,
            dead_hosts=self._parts.sites.dead_hosts,
            turned_away=site.slots.turned_away,
        )

    async def _search(self, order: Sequence[Candidate], way: "_Way", search: Search) -> Session:
        """Ask one after the other."""
        chosen = way.chosen
        all_asked = chosen.is_all
        for candidate in order:
            if search.is_over:
                all_asked = False
                break
            connection = await self._ask(candidate, way, search)
            if connection is not None:
                return self._session(connection, candidate, chosen, search)
        raise NoHost(search.failures, all_asked=all_asked)

    async def _ask(self, candidate: Candidate, way: "_Way", search: Search) -> Connection | None:
        """Connect to one host if it may have the mail; None, and a failure more, if that cannot be done."""
        try:
            asked = (await way.trust.judge(candidate, way.chosen)).requirement
            connection = None
            if isinstance(asked, Requirement):
                connection = await self._new_session(candidate, asked, way, search)
                if connection is not None or not search.failures[-1].is_of_policy:
                    return connection
                again = await way.trust.judge_again(candidate)
                if isinstance(again, Requirement):  # its certificate failed a policy that is gone
                    return await self._new_session(candidate, again, way, search)
                asked = again or asked
            if isinstance(asked, HostRefused):
                refused = self._refused(candidate, asked)
                self._count(refused.failed.peer, way.trust)
                search.pass_over(refused)
        except StoreBroken:
            raise
        except StoreError as error:
            raise self._not_yet(_STORE_AGAIN, str(error)) from error
        return None

    async def _new_session(
        self, candidate: Candidate, asked: Requirement, way: "_Way", search: Search
    ) -> Connection | None:
        """Connect to one host, and count how TLS went; None, and a failure more, if that cannot be done."""
        connection = await search.ask(self._target(candidate, asked), candidate.preference)
        peer = search.failures[-1].failed.peer if connection is None else connection.peer
        self._count(peer, way.trust)
        return connection

    def _count(self, peer: Peer | None, trust: DomainTrust) -> None:
        if self._parts.tally is not None and peer is not None:
            self._parts.tally.note(trust.counted(peer, self._parts.clock.now().date()))

    async def _take_idle(
        self, site: Site, best: Collection[_HostFrom], trust: DomainTrust, search: Search
    ) -> Connection | None:
        """Return an idle connection to one of the first hosts; without one, make room.

        One that has shown what this domain asks of the host: another domain may have asked for less (T-01).

        To another host, it may be a backup: that is for when the best ones were asked.
        """
        suited = [
            idle
            for idle in site.idle
            if _suits(idle.connection, best, search) and trust.is_met_by(idle.connection)
        ]
        for idle in (suited or site.idle)[-1:]:
            connection = site.take(idle)
            if suited:
                trust.serve(connection)
                return connection
            try:
                await connection.quit()
            finally:
                connection.abort()  # nobody else would, if this is cancelled
                site.share.release()
        return None

    def _session(
        self, connection: Connection, to: Candidate, chosen: Candidates, search: Search
    ) -> Session:
        """Return the session, and whether a better host is out of reach (S-17)."""
        lacking = {failure.host.host for failure in search.failures if failure.lacks}
        return Session(
            connection=connection,
            failures=search.failures,
            preference=to.preference,
            site=chosen.site,
            better_mx_unreachable=chosen.has_better(to.preference, lacking=lacking),
        )

    def _address(self, candidate: Candidate) -> Address:
        return (candidate.ip, self._parts.settings.port)

    def _target(self, candidate: Candidate, requirement: Requirement) -> Target:
        settings = self._parts.settings
        return Target(
            route=RouteKind.DIRECT,
            host=candidate.host,
            ip=candidate.ip,
            port=settings.port,
            requirement=requirement,
            login=None,
            source_ip=candidate.source_ip,
            helo=settings.helo_of(candidate.source_ip),
        )

    def _refused(self, candidate: Candidate, why: HostRefused) -> HostFailure:
        """Return that nobody connects to a host, as its failure."""
        settings = self._parts.settings
        peer = Peer(
            route=RouteKind.DIRECT,
            host=candidate.host,
            ip=candidate.ip,
            port=settings.port,
            tls_result=why.told,
        )
        return HostFailure(
            host=HostPort(host=candidate.host, port=settings.port),
            at=self._parts.clock.now(),
            failed=SessionFailed(Stage.CONNECT, why.breakdown, peer=peer),
            route=RouteKind.DIRECT,
            preference=candidate.preference,
            was_asked=False,
        )

    def _proof(self, why: Undeliverable | Breakdown) -> HostFailure:
        """Return what the DNS says as the failure of the domain itself."""
        if isinstance(why, Undeliverable):
            why = Breakdown(
                category=why.category,
                fault=Fault.DNS,
                reason=why.reason,
                status=why.status,
                needs_second_look=why.needs_second_look,
            )
        return HostFailure(
            host=HostPort(host=self._domain, port=self._parts.settings.port),
            at=self._parts.clock.now(),
            failed=SessionFailed(Stage.CONNECT, why),
            route=RouteKind.DIRECT,
        )


def _without_blame(failure: HostFailure) -> HostFailure:
    """Return a failure; one of ours says nothing of the host to those who send from another address."""
    breakdown = failure.failed.breakdown
    is_ours = breakdown is not None and breakdown.fault is Fault.LOCAL
    return replace(failure, at_door=False) if is_ours else failure


def _tell_choice(chosen: Candidates | Undeliverable | Breakdown) -> None:
    """Tell who looks on what the DNS gave."""
    if not isinstance(chosen, Candidates):
        tracing.tell("no_host", reason=chosen.reason)
        return
    hosts = ", ".join(f"{one.preference} {one.host} [{one.ip}]" for one in chosen.candidates)
    tracing.tell("hosts_found", hosts=hosts)
    for line in chosen.skipped:
        tracing.tell("host_skipped", reason=line)


def _replies(failures: Sequence[HostFailure]) -> list[tuple[Reply | None, Stage]]:
    return [(each.failed.reply, each.failed.stage) for each in failures]


def _is_fresh(connection: Connection) -> bool:
    """Tell whether it may take more transactions."""
    return connection.is_usable and connection.transactions < _REUSED_AT_MOST


def _suits(connection: Connection, best: Collection[_HostFrom], search: Search) -> bool:
    peer = connection.peer
    is_wanted = (peer.host, None) in best or (peer.host, peer.local_ip) in best
    return connection.is_usable and is_wanted and search.may_ask((peer.ip, peer.port))

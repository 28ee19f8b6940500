"""The next hop of one domain in direct mode: its own mail hosts, found by DNS.

`way` finds them, `admittance` waits for the site, `opening` asks the hosts. This module owns what becomes of a session: whether
it is kept, where it rests, and what the site says in it. What is shared with the other domains of the same hosts is in `sites`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from relayd.deliverer.connections import Leave
from relayd.deliverer.nexthop.admittance import admit
from relayd.deliverer.nexthop.hosts import ANYBODY, NO_MESSAGE, HostFailure, NoHost, Session
from relayd.deliverer.nexthop.mx_parts import MxParts
from relayd.deliverer.nexthop.opening import Opening
from relayd.deliverer.nexthop.sites import Site
from relayd.deliverer.nexthop.way import Way, find_way, resting_sources
from relayd.mail.attempt import Peer
from relayd.mail.ids import MessageId
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Fault
from relayd.policy.delivery.route import RouteFacts, TlsAsked
from relayd.policy.delivery.source import pool_of
from relayd.ports.outward import Connection
from relayd.ports.sites import SiteKey

_IDLE_FOR = 10.0  # seconds a connection without work is kept
_REUSED_AT_MOST = 100  # transactions


@dataclass(frozen=True, slots=True)
class _Use:
    """What a connection in use is for."""

    site: Site
    key: SiteKey
    asks: bool  # its message asks a site that was left alone


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
        return self._parts.sites.rates.are_limited or self._is_held_back

    @property
    def _is_held_back(self) -> bool:
        paces = self._parts.paces
        return paces is not None and self._key is not None and paces.holds_back(self._key)

    account = None

    async def connect(
        self,
        after: Sequence[HostFailure] = (),
        facts: RouteFacts = ANYBODY,
        message: MessageId = NO_MESSAGE,
    ) -> Session:
        try:
            return await self._connect(after, facts, message)
        except NoHost as none:
            if all(not each.senders for each in self._parts.settings.sources):
                raise
            failures = tuple(map(_without_blame, none.failures))
            raise NoHost(failures, all_asked=none.all_asked) from None

    async def _connect(
        self, after: Sequence[HostFailure], facts: RouteFacts, message: MessageId
    ) -> Session:
        is_lifted = self._asks is TlsAsked.LIFTED
        way = await find_way(
            self._domain, facts, self._parts, after=after, lifts_policies=is_lifted
        )
        chosen = way.chosen
        site = self._parts.sites.of(chosen.site)
        self._site = site
        self._key = key = SiteKey(site.key, chosen.candidates[0].source_ip or "")
        asks = await self._may_enter(key, after)
        try:
            session = await self._admitted(site, key, way, after, asks=asks)
        except BaseException as error:
            if isinstance(error, NoHost):
                await self._heard(key, error.failures[len(after) :], (), message, facts)
            if asks and self._parts.paces is not None:
                await self._parts.paces.ended(key)
            raise
        used = _seen_from(key, session.connection.peer)
        if asks and used != key and self._parts.paces is not None:
            await self._parts.paces.ended(key)  # nobody asked for that address
            asks = False
        self._uses[id(session.connection)] = _Use(site, used, asks)
        return session

    async def _may_enter(self, key: SiteKey, after: Sequence[HostFailure]) -> bool:
        """Wait for what the site is given; tell whether this message asks. Raises NotYet."""
        paces = self._parts.paces
        return paces is not None and not after and await paces.enter(key)

    async def _admitted(
        self,
        site: Site,
        key: SiteKey,
        way: Way,
        after: Sequence[HostFailure],
        *,
        asks: bool,
    ) -> Session:
        """Open a session with a site that may have one more message."""
        names, parts = way.chosen.names, self._parts
        paces = parts.paces
        await admit(site, self._domain, names, parts, may_begin=bool(after))
        try:
            if paces is not None and not after and not asks:
                paces.check(key)  # to wait for a slot may take long
            return await Opening(site, way, after, parts).session()
        except BaseException:
            site.slots.release()
            raise

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
        gives_way = site is not None and (site.share.gives_way or site.slots.is_crowded)
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

    def has_another_host(
        self,
        session: Session,  # noqa: ARG002 -- who puts mail off speaks for the site, such as by greylisting
    ) -> bool:
        return False

    def has_another_source(self, session: Session, facts: RouteFacts = ANYBODY) -> bool:
        use = self._uses.get(id(session.connection))
        return use is not None and self._has_other(use.key, facts)

    def _has_other(self, key: SiteKey, facts: RouteFacts) -> bool:
        """Tell whether the sender's pool has one of the same family that does not rest."""
        parts = self._parts
        pool = [each.address for each in pool_of(parts.settings.sources, facts)]
        if parts.paces is None or len(pool) < 2 or not key.source:
            return False
        resting = {key.source, *resting_sources(key.site, pool, parts)}
        version = ip_address(key.source).version
        return any(ip_address(ip).version == version for ip in pool if ip not in resting)

    async def saw(
        self,
        session: Session,
        replies: Sequence[tuple[Reply | None, Stage]],
        message: MessageId,
        facts: RouteFacts = ANYBODY,
    ) -> None:
        use = self._uses.get(id(session.connection))
        if use is None:
            return
        if use.asks:
            self._uses[id(session.connection)] = replace(use, asks=False)
        await self._heard(use.key, session.failures, replies, message, facts, asked=use.asks)

    async def _heard(
        self,
        key: SiteKey,
        failures: Sequence[HostFailure],
        replies: Sequence[tuple[Reply | None, Stage]],
        message: MessageId,
        facts: RouteFacts,
        *,
        asked: bool = False,
    ) -> None:
        """Note what hosts said, each of the address of ours that it saw; `replies` are of the one of `key`."""
        paces = self._parts.paces
        if paces is None:
            return
        said = {key: list(replies)}
        for each in failures:
            seen_from = _seen_from(key, each.failed.peer)
            said.setdefault(seen_from, []).append((each.failed.reply, each.failed.stage))
        for one, heard in said.items():
            await paces.saw(
                one,
                heard,
                message=message,
                asked=asked and one == key,
                has_other_way=self._has_other(one, facts),
            )

    def answered(self) -> None:
        if self._site is not None:
            self._site.slots.answered()

    def turned_away(self) -> None:
        if self._site is not None:
            self._site.slots.turned_away()


def _without_blame(failure: HostFailure) -> HostFailure:
    """Return a failure; one of ours says nothing of the host to those who send from another address."""
    breakdown = failure.failed.breakdown
    is_ours = breakdown is not None and breakdown.fault is Fault.LOCAL
    return replace(failure, at_door=False) if is_ours else failure


def _seen_from(key: SiteKey, peer: Peer | None) -> SiteKey:
    """Return the key of the address of ours that a peer saw: a site of two families sees one of each."""
    if not key.source or peer is None or not peer.local_ip:
        return key
    return replace(key, source=peer.local_ip)


def _is_fresh(connection: Connection) -> bool:
    """Tell whether it may take more transactions."""
    return connection.is_usable and connection.transactions < _REUSED_AT_MOST

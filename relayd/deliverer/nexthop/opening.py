"""Opening a session with a mail host, one of those that `way` found: an idle connection, or the first host that is ready.

Who opens has a slot of the site (`admittance`). The candidates are tried in their order, those that failed lately after the others.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from relayd.deliverer.nexthop.hosts import HostFailure, LeftAlone, NoHost, Session
from relayd.deliverer.nexthop.mx_parts import STORE_AGAIN, MxParts
from relayd.deliverer.nexthop.search import Search
from relayd.deliverer.nexthop.sites import Site
from relayd.deliverer.nexthop.way import Way
from relayd.errors import StoreBroken, StoreError
from relayd.mail.attempt import Peer, RouteKind
from relayd.mail.reply import Stage
from relayd.policy.delivery.hosts import turned_away
from relayd.policy.delivery.mx import Candidate
from relayd.policy.delivery.route import HostPort
from relayd.policy.tls.ladder import Requirement
from relayd.policy.tls.require import HostRefused
from relayd.ports.outward import Connection, SessionFailed, Target
from relayd.settings import DirectSettings
from relayd.trace import tracing

_HostFrom = tuple[str, str | None]  # a host, and the address of ours that it sees; None: any
_WARM_UP = "our address is new to its mail hosts (direct.warm_up)"
_WARMING = 300.0  # seconds: no longer wait is foreseen


class Opening:
    """One attempt to have a session, after the hosts of `after` have failed in it already."""

    def __init__(self, site: Site, way: Way, after: Sequence[HostFailure], parts: MxParts) -> None:
        self._site = site
        self._way = way
        self._chosen = way.chosen
        self._after = after
        self._parts = parts

    async def session(self) -> Session:
        """Open it. Raises NoHost, NotYet.

        The turn of a warm-up is taken before anybody is asked: others may be on their way at the same time.
        """
        search = self._new_search()
        order = self._order(search)
        warm_ups, site, source = self._parts.warm_ups, self._chosen.site, order[0].source_ip or ""
        warm_ups.take(site, source)
        try:
            session = await self._opened(order, search)
        except BaseException:
            warm_ups.give_back(site, source)
            raise
        used = session.connection.peer.local_ip
        if used != source:
            warm_ups.give_back(site, source)
            warm_ups.take(site, used)
        return session

    async def _opened(self, order: Sequence[Candidate], search: Search) -> Session:
        best = {
            (each.host, each.source_ip) for each in order if each.preference == order[0].preference
        }
        connection = await self._take_idle(best, search)
        if connection is not None:
            if tracing.is_on:
                tracing.chosen(connection.peer, "the connection is open already")
            return self._session(connection, order[0], search)
        share = self._site.share
        await share.acquire(first=bool(self._after))
        try:
            return await self._search(order, self._new_search())
        except NoHost as none:
            share.release()
            is_of_policy = any(each.is_of_policy for each in none.failures)
            if not self._after and not is_of_policy and not turned_away(none.facts):
                self._site.note_failed(self._chosen.names)
            raise
        except BaseException:
            share.release()
            raise

    def _order(self, search: Search) -> Sequence[Candidate]:
        """Return whom to ask now. Raises NotYet."""
        chosen, parts = self._chosen, self._parts
        waits = [parts.warm_ups.wait(chosen.site, each.source_ip) for each in chosen.candidates]
        if any(waits):
            self._chosen = replace(chosen, is_cut=True)
        order = sorted(
            (
                each
                for each, wait in zip(chosen.candidates, waits, strict=True)
                if not wait and search.may_ask(each.host, parts.address_of(each))
            ),
            key=lambda each: search.is_out(parts.address_of(each)),
        )
        if not order:
            alone = LeftAlone(site=chosen.site, reply=_WARM_UP, is_for_long=True, is_warm_up=True)
            raise parts.not_yet(min(_WARMING, *waits), _WARM_UP, left_alone=alone)
        return order

    def _new_search(self) -> Search:
        """Return one that begins now."""
        return Search(
            self._after,
            transport=self._parts.transport,
            clock=self._parts.clock,
            dead_hosts=self._parts.sites.dead_hosts,
            turned_away=self._site.slots.turned_away,
        )

    async def _take_idle(self, best: Collection[_HostFrom], search: Search) -> Connection | None:
        """Return an idle connection to one of the first hosts; without one, make room.

        One that has shown what this domain asks of the host: another domain may have asked for less (T-01).

        To another host, it may be a backup: that is for when the best ones were asked.
        """
        site, trust = self._site, self._way.trust
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

    async def _search(self, order: Sequence[Candidate], search: Search) -> Session:
        """Ask one after the other."""
        all_asked = self._chosen.is_all
        for candidate in order:
            if search.is_over:
                all_asked = False
                break
            if not search.may_ask(candidate.host, self._parts.address_of(candidate)):
                continue  # another name of an address that has failed
            connection = await self._ask(candidate, search)
            if connection is not None:
                return self._session(connection, candidate, search)
        raise NoHost(search.failures, all_asked=all_asked)

    async def _ask(self, candidate: Candidate, search: Search) -> Connection | None:
        """Connect to one host if it may have the mail; None, and a failure more, if that cannot be done."""
        trust = self._way.trust
        try:
            asked = (await trust.judge(candidate, self._chosen)).requirement
            connection = None
            if isinstance(asked, Requirement):
                connection = await self._connect(candidate, asked, search)
                if connection is not None or not search.failures[-1].is_of_policy:
                    return connection
                again = await trust.judge_again(candidate)
                if isinstance(again, Requirement):  # its certificate failed a policy that is gone
                    return await self._connect(candidate, again, search)
                asked = again or asked
            if isinstance(asked, HostRefused):
                refused = self._refused(candidate, asked)
                self._count(refused.failed.peer)
                search.pass_over(refused)
        except StoreBroken:
            raise
        except StoreError as error:
            raise self._parts.not_yet(STORE_AGAIN, str(error)) from error
        return None

    async def _connect(
        self, candidate: Candidate, asked: Requirement, search: Search
    ) -> Connection | None:
        """Connect to one host, and count how TLS went; None, and a failure more, if that cannot be done."""
        connection = await search.ask(
            target_of(candidate, asked, self._parts.settings), candidate.preference
        )
        self._count(search.failures[-1].failed.peer if connection is None else connection.peer)
        return connection

    def _count(self, peer: Peer | None) -> None:
        if self._parts.tally is not None and peer is not None:
            counted = self._way.trust.counted(peer, self._parts.clock.now().date())
            self._parts.tally.note(counted)

    def _session(self, connection: Connection, to: Candidate, search: Search) -> Session:
        """Return the session, and whether a better host is out of reach (S-17)."""
        lacking = {failure.host.host for failure in search.failures if failure.lacks}
        return Session(
            connection=connection,
            failures=search.failures,
            preference=to.preference,
            site=self._chosen.site,
            better_mx_unreachable=self._chosen.has_better(to.preference, lacking=lacking),
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


def _suits(connection: Connection, best: Collection[_HostFrom], search: Search) -> bool:
    peer = connection.peer
    is_wanted = (peer.host, None) in best or (peer.host, peer.local_ip) in best
    return connection.is_usable and is_wanted and search.may_ask(peer.host, (peer.ip, peer.port))


def target_of(candidate: Candidate, requirement: Requirement, settings: DirectSettings) -> Target:
    """Return what to connect to, and how."""
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

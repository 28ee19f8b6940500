"""What the domains of one site share, in one worker: connections, and their limits.

Which mail hosts are one site says `policy.delivery.site`.

There are never more connections, in use and idle ones together, than slots: a connection is
opened only by who has a slot, and when no idle one will do; an idle one is left for it then. How
many slots there are depends on how the hosts take it (`policy.throttle`), and on the worker's part of the limit; where
that is scarce, `scarce_sites` asks for a share. Beside it a connection has
a slot among all of its worker (`connections`), an idle one too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from relayd.deliverer.connections import Connections, Leave, Share
from relayd.deliverer.nexthop.rates import Rates
from relayd.deliverer.nexthop.search import DeadHosts
from relayd.deliverer.nexthop.slots import ConnectionSlots
from relayd.policy.delivery.shares import Part, is_scarce, share_of
from relayd.ports.outward import Clock, Connection

_SCARCE_IDLE = (
    1.0  # seconds that an idle connection is kept at most, of those that other workers wait for
)
_FAILED = 1000  # sets of hosts; who forgets one asks it once more


@dataclass(frozen=True, slots=True, eq=False)
class Idle:
    """A connection without work."""

    connection: Connection
    timer: asyncio.TimerHandle
    leave: Leave


@dataclass(slots=True, weakref_slot=True, eq=False)
class Site:
    """What a receiver counts as one."""

    key: str
    slots: ConnectionSlots
    share: Share
    idle: list[Idle] = field(default_factory=list)
    searches_failed: int = 0  # in which no host was ready
    failed: dict[frozenset[str], int] = field(default_factory=dict)  # the latest, by its hosts

    @property
    def in_use(self) -> int:
        """How many connections there may be by now, idle ones included."""
        return self.slots.taken + len(self.idle)

    def note_failed(self, hosts: frozenset[str]) -> None:
        """Note that none of these was ready. Other hosts of the site may well be."""
        if len(self.failed) >= _FAILED:
            self.failed.clear()
        self.searches_failed += 1
        self.failed[hosts] = self.searches_failed

    def has_failed(self, hosts: frozenset[str], *, since: int) -> bool:
        """Tell whether none of these was ready after so many failed searches."""
        return self.failed.get(hosts, 0) > since

    def take(self, idle: Idle) -> Connection:
        """Return a connection that is not idle any more."""
        idle.timer.cancel()
        self.share.resume(idle.leave)
        self.idle.remove(idle)
        return idle.connection


class Sites:
    """All sites that this worker has to do with at present: in use, waited for, or idle."""

    def __init__(
        self,
        per_site: int,
        tasks: asyncio.TaskGroup,
        *,
        clock: Clock,
        connections: Connections,
        rates: Rates | None = None,
        on_new: Callable[[Site], None] | None = None,
    ) -> None:
        """Limit each site to so many connections; `on_new` is told of sites whose limit is scarce, as they come up."""
        self.dead_hosts = DeadHosts(clock)
        self.rates = Rates(0, clock=clock) if rates is None else rates
        self.per_site = self._most = per_site
        self.connections = connections
        self.are_scarce = False
        self.is_open = True  # its part may be used without asking
        self._on_new = on_new
        self._tasks = tasks
        self._sites: WeakValueDictionary[str, Site] = WeakValueDictionary()

    def divide_by(self, part: Part) -> None:
        """Use no more than a part of the connections, from now on; idle ones beyond it leave."""
        before = (self.are_scarce, self.is_open)
        self._most = max(1, share_of(self.per_site, part))
        self.are_scarce = self._on_new is not None and is_scarce(self.per_site, part)
        self.is_open = part.is_counted and not self.are_scarce
        for site in tuple(self._sites.values()):
            site.slots.limit(self._most)
            if (self.are_scarce, self.is_open) != before:
                self._share(site)
            self.shrink(site, self._most if part.is_counted else 0)

    def _share(self, site: Site) -> None:
        site.slots.watch(None)
        site.slots.share(self.is_open)
        if self.are_scarce and self._on_new is not None:
            self._on_new(site)

    def shrink(self, site: Site, most: int) -> None:
        """Leave idle connections until there are no more than so many."""
        for idle in site.idle[: max(0, site.in_use - most)]:
            self._leave(site, idle)

    def of(self, key: str) -> Site:
        """Return a site, by `relayd.policy.delivery.site.site_key`."""
        site = self._sites.get(key)
        if site is None:
            site = self._sites[key] = Site(
                key, ConnectionSlots(self._most), Share(self.connections)
            )
            self._share(site)
        return site

    def shorten_lines(self, *, to_seconds: float) -> None:
        """Send those away who wait long for a slot of their site: other destinations need the room that they have."""
        now = asyncio.get_running_loop().time()
        for site in tuple(self._sites.values()):
            if site.slots.are_awaited:
                site.slots.shorten_line(now, to_seconds=to_seconds)

    def rest(self, site: Site, connection: Connection, *, for_seconds: float) -> None:
        """Keep a connection without work for a while, or until its slot is asked for."""

        def leave() -> None:
            self._leave(site, idle)

        if self.are_scarce:
            for_seconds = min(for_seconds, _SCARCE_IDLE)
        timer = asyncio.get_running_loop().call_later(for_seconds, leave)
        idle = Idle(connection, timer, leave)
        site.idle.append(idle)
        site.share.rest(leave)

    def close(self) -> None:
        """Leave all idle connections."""
        for site in tuple(self._sites.values()):
            for idle in tuple(site.idle):
                self._leave(site, idle)

    def _leave(self, site: Site, idle: Idle) -> None:
        """Say goodbye to an idle connection. It has its slots until it is closed."""
        site.slots.take()
        self._tasks.create_task(
            _say_goodbye(site, site.take(idle)), name="QUIT of an idle connection"
        )


async def _say_goodbye(site: Site, connection: Connection) -> None:
    try:
        await connection.quit()
    finally:
        site.share.release()
        site.slots.release()

"""What the domains of one site share, in one worker: connections, and their limits.

Which mail hosts are one site says `policy.delivery.site`.

There are never more connections, in use and idle ones together, than slots: a connection is
opened only by who has a slot, and when no idle one will do; an idle one is left for it then. How
many slots there are depends on how the hosts take it (`policy.throttle`). Beside it a connection has
a slot among all of its worker (`connections`), an idle one too.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from relayd.deliverer.connections import Connections, Leave, Share
from relayd.deliverer.nexthop.search import DeadHosts
from relayd.policy.delivery.shares import Part, share_of
from relayd.policy.delivery.throttle import SlowStart, Throttle
from relayd.ports.outward import Clock, Connection

_THROTTLES = 1000  # kept before those are dropped that are of no more use
_FAILED = 1000  # sets of hosts; who forgets one asks it once more


class ConnectionSlots:
    """As many as a slow start allows, given in the order in which they were asked for."""

    def __init__(self, most: int) -> None:
        self._slow_start = SlowStart(most)
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def allowed(self) -> int:
        return self._slow_start.allowed

    @property
    def is_full(self) -> bool:
        """Tell whether the next one has to wait."""
        return self._taken >= self._slow_start.allowed

    @property
    def is_crowded(self) -> bool:
        """Tell whether more are taken than are allowed by now."""
        return self._taken > self._slow_start.allowed

    async def acquire(self) -> None:
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        self._give()
        try:
            await slot
        except asyncio.CancelledError:
            if not slot.cancelled():  # it was given at this very moment
                self.release()
            raise

    def take(self) -> None:
        """Take one at once, for a connection that is there."""
        self._taken += 1

    def release(self) -> None:
        self._taken -= 1
        self._give()

    def limit(self, most: int) -> None:
        self._slow_start = self._slow_start.limited(most)

    def answered(self) -> None:
        self._slow_start = self._slow_start.raised()
        self._give()

    def turned_away(self) -> None:
        self._slow_start = self._slow_start.halved()

    def _give(self) -> None:
        while self._waiting and self._taken < self._slow_start.allowed:
            slot = self._waiting.popleft()
            if not slot.done():
                self._taken += 1
                slot.set_result(None)


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
        per_minute: int = 0,
    ) -> None:
        """Limit each site to so many connections and transactions a minute; 0: any number."""
        self.dead_hosts = DeadHosts(clock)
        self._per_site = self._share = per_site
        self.connections = connections
        self._tasks = tasks
        self._clock = clock
        self._per_minute = self._rate = per_minute
        self._sites: WeakValueDictionary[str, Site] = WeakValueDictionary()
        self._throttles: dict[str, Throttle] = {}  # they outlive a site without work

    @property
    def are_limited(self) -> bool:
        """Tell whether there is a limit on transactions."""
        return self._per_minute > 0

    def divide_by(self, part: Part) -> None:
        """Use no more than a part of both limits, from now on; idle connections beyond it leave."""
        self._share = max(1, share_of(self._per_site, part))
        self._rate = max(1, share_of(self._per_minute, part))
        for site in tuple(self._sites.values()):
            site.slots.limit(self._share)
            for idle in site.idle[: max(0, site.share.held - self._share)]:
                self._leave(site, idle)
        for throttle in self._throttles.values():
            throttle.limit(self._rate)

    def of(self, key: str) -> Site:
        site = Site(key, ConnectionSlots(self._share), Share(self.connections))
        return self._sites.setdefault(key, site)

    def token(self, site: Site, who: str) -> float:
        """Return the seconds until `who` may begin a transaction; see `Throttle.token`."""
        if not self._per_minute:
            return 0.0
        now = self._clock.monotonic()
        if site.key not in self._throttles:
            self._make_room(now)
            self._throttles[site.key] = Throttle(self._rate)
        return self._throttles[site.key].token(who, now=now)

    def rest(self, site: Site, connection: Connection, *, for_seconds: float) -> None:
        """Keep a connection without work for a while, or until its slot is asked for."""

        def leave() -> None:
            self._leave(site, idle)

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

    def _make_room(self, now: float) -> None:
        if len(self._throttles) >= _THROTTLES:
            busy = {key: one for key, one in self._throttles.items() if not one.is_idle(now=now)}
            self._throttles = busy


async def _say_goodbye(site: Site, connection: Connection) -> None:
    try:
        await connection.quit()
    finally:
        site.share.release()
        site.slots.release()

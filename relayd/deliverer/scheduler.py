"""What a worker delivers next: claims, leases, and the lanes they feed.

Keeps a window of due work, not the queue. New messages may be born into the window; everything
else is claimed when there is room. Leases are renewed at a third of their time, and handed back
on a clean stop.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import structlog

from relayd.deliverer.courier import Courier
from relayd.deliverer.hosts import NextHop
from relayd.deliverer.lane import Lane, LaneClosed
from relayd.errors import CommitUnknown, StoreError
from relayd.mail.envelope import WorkerNumber
from relayd.policy import retry
from relayd.ports import Clock, Lease, QueueStore, Work

LEASE_FOR = timedelta(seconds=60)
WINDOW = 1000  # messages leased at once
LANE_WINDOW = 250  # of them waiting for one destination
WINDOW_OCTETS = 64 * 1024 * 1024  # of content held for them
_CLAIM = 200  # recipients claimed at once
_POLL = 1.0  # seconds between looks at the store; wake-ups are hints only

log = structlog.get_logger()


class Scheduler:
    """Feeds the lanes of one worker."""

    def __init__(
        self,
        *,
        store: QueueStore,
        worker: WorkerNumber,
        next_hop: Callable[[str], NextHop],
        courier: Courier,
        clock: Clock,
        connections: Callable[[str], int],
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._worker = worker
        self._next_hop = next_hop
        self._courier = courier
        self._clock = clock
        self._connections = connections
        self._jitter = jitter
        self._lanes: dict[str, Lane] = {}
        self._failures: dict[str, int] = {}  # in a row, by destination
        self._count = 0
        self._octets = 0
        self._stopping = False
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()  # no lane is open
        self._tasks: asyncio.TaskGroup | None = None

    def has_room(self, octets: int, destinations: Collection[str] = ()) -> bool:
        """Tell whether more may be leased: a new message of that size for those destinations."""
        return (
            not self._stopping
            and self._count < WINDOW
            and self._octets + octets <= WINDOW_OCTETS
            and not any(self._is_full(destination) for destination in destinations)
        )

    def _is_full(self, destination: str) -> bool:
        """A slow destination may not fill the window; a closing lane leaves all to the store."""
        lane = self._lanes.get(destination)
        return lane is not None and (lane.is_closing or lane.waiting >= LANE_WINDOW)

    def put(self, work: Work) -> None:
        """Take leased work into the window."""
        self._count += 1
        self._octets += work.message.size
        destination = work.lease.destination
        lane = self._lanes.get(destination)
        if lane is None or lane.lease != work.lease:
            if lane is not None:
                lane.close()  # the slot was lost and taken again: that lane's work is stale
            lane = self._lanes[destination] = self._open(work.lease)
        if self._stopping:
            lane.close()  # a claim or a commit that was under way brought it: hand it back
        lane.put(work)

    def wake(self) -> None:
        """Look at the store now: something may have become due."""
        self._wake.set()

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Claim and deliver until `stop`."""
        self._tasks = tasks
        renewal = tasks.create_task(self._renew())
        while not self._stopping:
            self._wake.clear()
            claimed = 0
            try:
                claimed = await self._claim()
            except CommitUnknown:
                raise
            except StoreError as error:
                log.warning("claim_failed", fault="local", reason=str(error))
            if not claimed or not self.has_room(0):
                await self._doze()
        renewal.cancel()

    async def stop(self, *, within: float) -> None:
        """Start nothing new, let transactions under way end, hand the leases back."""
        self._stopping = True
        self._wake.set()
        for lane in tuple(self._lanes.values()):
            lane.close()
        try:
            async with asyncio.timeout(within):
                while self._lanes:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            log.warning("stopped_with_open_transactions", lanes=len(self._lanes))

    async def _claim(self) -> int:
        room = min(WINDOW - self._count, _CLAIM)
        if room < _CLAIM // 4 or not self.has_room(0):
            return 0
        full = {destination for destination in self._lanes if self._is_full(destination)}
        work = await self._store.claim(self._worker, limit=room, lease_for=LEASE_FOR, but=full)
        for piece in work:
            mine = await self._courier.sort_out(piece)
            if mine is not None:
                self.put(mine)
        for lease in {piece.lease for piece in work}:
            if lease.destination not in self._lanes:  # nothing was left to be delivered there
                lane = self._lanes[lease.destination] = self._open(lease)
                lane.close()
        return sum(len(piece.recipients) for piece in work)

    async def _doze(self) -> None:
        try:
            async with asyncio.timeout(_POLL):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_FOR.total_seconds() / 3)
            leases = [lane.lease for lane in self._lanes.values()]
            try:
                lost = await self._store.extend(leases, worker=self._worker, lease_for=LEASE_FOR)
                freed = await self._store.reap()
            except CommitUnknown:
                raise
            except StoreError as error:
                log.warning("renewal_failed", fault="local", reason=str(error))
                continue
            if freed:
                self._wake.set()
            for lane in tuple(self._lanes.values()):
                if lane.lease in lost:
                    log.warning("lease_lost", destination=lane.lease.destination)
                    lane.close()

    def _open(self, lease: Lease) -> Lane:
        assert self._tasks is not None
        return Lane(
            lease,
            hop=self._next_hop(lease.destination),
            courier=self._courier,
            connections=self._connections(lease.destination),
            tasks=self._tasks,
            owner=self,
        )

    # --- LaneOwner ------------------------------------------------------------------------

    def done(self, work: Work) -> None:
        self._count -= 1
        self._octets -= work.message.size
        if self._count == WINDOW // 2:
            self._wake.set()

    def proven(self, lane: Lane) -> None:
        self._failures.pop(lane.lease.destination, None)

    def closed(self, lane: Lane, why: LaneClosed | None) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._hand_back(lane, why))

    async def _hand_back(self, lane: Lane, why: LaneClosed | None) -> None:
        destination = lane.lease.destination
        until = None
        if why is not None:
            failures = self._failures[destination] = self._failures.get(destination, 0) + 1
            pause = retry.LOGIN_PROBE
            if not why.login_refused:
                pause = retry.pause_after(failures, jitter=self._jitter())
            until = self._clock.now() + pause
            log.error(
                "login_refused" if why.login_refused else "destination_down",
                destination=destination,
                paused_until=until.isoformat(timespec="seconds"),
                reason="; ".join(f"{failure.host}: {failure.failed}" for failure in why.failures),
            )
        await self._release(lane, until)
        if self._lanes.get(destination) is lane:
            del self._lanes[destination]
        self._quiet.set()
        self._wake.set()

    async def _release(self, lane: Lane, paused_until: datetime | None) -> None:
        """Hand a lease back, however often it takes; a lane's lease without the lane never ends.

        Claims of others from the destination would renew it. At a stop the successor frees it.
        """
        while True:
            try:
                await self._store.release(lane.lease, paused_until=paused_until)
            except CommitUnknown:
                raise
            except StoreError as error:
                log.warning("release_failed", fault="local", reason=str(error))
            else:
                return
            if self._stopping:
                return
            await asyncio.sleep(_POLL)

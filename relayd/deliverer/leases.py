"""The leases that a worker holds on destinations: claimed, renewed, asked for, handed back.

Renewed at a third of their time, and at once when others join: a renewal counts them. A worker that slept, or was
stopped, asks for its leases before it sends anything: they may have another owner. What happens to the work under a
lease is the scheduler's business.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from relayd.deliverer.destination_queue import DestinationQueue
from relayd.errors import StoreBroken, StoreError
from relayd.mail.ids import WorkerNumber
from relayd.mail.words import format_instant
from relayd.policy.delivery.admission import Quota
from relayd.policy.delivery.looking import POLL
from relayd.ports.outward import Clock
from relayd.ports.queue import Lease, QueueStore, Work
from relayd.trace import tracing

LEASE_FOR = timedelta(seconds=60)
"""How long a crash delays mail at most, and how long a stalled store or machine loses no lease."""
_RENEWALS = 3  # in the time of a lease: one may fail, and one be late
_JOINS_BY = 5.0  # seconds between renewals of a worker that the others do not count yet
_COUNTED_BY = 2.0  # seconds from its first renewal until the others have had time to count it
_ALL_JOIN_WITHIN = (
    0.2  # seconds: the workers of a machine join together, and one renewal counts them
)
_SURE = 2 / 3  # of that time a lease is ours without asking; two renewals are due by then
_REMEMBERED = 10_000  # leases
_WORDS = 500  # characters of why a destination is paused: some hosts with a reply each

log = structlog.get_logger()


class Leases:
    """The leases of one worker, each with the queue that it is for."""

    def __init__(self, store: QueueStore, worker: WorkerNumber, clock: Clock) -> None:
        self.queues: dict[str, DestinationQueue] = {}  # by destination; the scheduler fills it
        self.is_stopping = False
        self.is_counted = True  # has a part of the limits; the scheduler writes it
        self.on_joining: Callable[[], None] = lambda: None  # with renewals until it is counted
        self._others_join = asyncio.Event()
        self._store = store
        self._worker = worker
        self._clock = clock
        self._held_until = 0.0  # monotonic: when the leases may be over
        self._handed_back: dict[Lease, None] = {}  # the latest; none of them ever begins again

    def begin(self) -> None:
        """Leases that were taken up to now are fresh."""
        self._held_until = self._clock.monotonic() + _SURE * LEASE_FOR.total_seconds()

    async def claim(
        self, quota: Quota, *, but: Collection[str], only: Collection[str] | None
    ) -> Sequence[Work]:
        """Lease due work, from these destinations if `only` is given. Raises StoreError."""
        return await self._store.claim(
            self._worker,
            limit=quota.limit,
            each=quota.each,
            lease_for=LEASE_FOR,
            but=but,
            only=only,
        )

    @property
    def next_due(self) -> float | None:
        """Return the seconds until something is due that the last claim saw, as the store says it."""
        return self._store.next_due()

    async def renew(self, on_freed: Callable[[], None]) -> None:
        """Renew until cancelled, and free what others held too long; then call `on_freed`."""
        done, looks = self._clock.monotonic(), 0  # at whether the others count it
        while True:
            if self.is_counted:
                looks = 0
                await self._rest()
            elif looks:
                await asyncio.sleep(_COUNTED_BY if looks == 1 else _JOINS_BY)
            looks += 1
            try:
                await self._extend()
                if not self.is_counted:
                    self.on_joining()
                before, done = done, self._clock.monotonic()
                # If that took a lease's time, the others are late as well: they go first.
                late = done - before >= LEASE_FOR.total_seconds()
                freed = 0 if late or self.is_stopping else await self._store.reap()
            except StoreBroken:
                raise
            except StoreError as error:
                log.warning("renewal_failed", fault="local", reason=str(error))
                continue
            if freed:
                on_freed()

    def count_others(self) -> None:
        """Renew soon: others have joined, and have no part of the limits until all have counted them."""
        self._others_join.set()

    async def _rest(self) -> None:
        """Wait until the next renewal of a worker that is counted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEASE_FOR.total_seconds() / _RENEWALS):
                await self._others_join.wait()
                await asyncio.sleep(_ALL_JOIN_WITHIN)
        self._others_join.clear()

    async def _extend(self) -> None:
        """Renew the leases of all queues, and close the queues whose lease is lost."""
        until = self._clock.monotonic() + _SURE * LEASE_FOR.total_seconds()
        queues = tuple(self.queues.values())
        lost = await self._store.extend(
            [queue.lease for queue in queues], worker=self._worker, lease_for=LEASE_FOR
        )
        self._held_until = until
        for queue in queues:
            if queue.lease in lost and not queue.is_closed:
                log.warning("lease_lost", destination=queue.lease.destination)
                if tracing.is_on:
                    tracing.about_destination("lease_lost", queue.lease)
                queue.close()

    async def holds(self, queue: DestinationQueue) -> bool:
        """Tell whether the lease of a queue is ours for sure; ask the store if that is long ago."""
        while not queue.is_closed and self._clock.monotonic() >= self._held_until:
            try:
                await self._extend()
            except StoreBroken:
                raise
            except StoreError as error:
                log.warning("renewal_failed", fault="local", reason=str(error))
                await asyncio.sleep(POLL)
        return not queue.is_closed

    def is_handed_back(self, lease: Lease) -> bool:
        """Tell whether a lease was given up. What comes under it late, as by another connection to the store, is free."""
        return lease in self._handed_back

    async def hand_back(
        self, queue: DestinationQueue, paused_until: datetime | None, why: str
    ) -> None:
        """Hand a lease back, however often it takes; the lease of a queue that is gone never ends.

        Claims of others from the destination would renew it. At a stop the successor frees it.
        """
        self._handed_back[queue.lease] = None
        if len(self._handed_back) > _REMEMBERED:
            del self._handed_back[next(iter(self._handed_back))]
        pause = None if paused_until is None else paused_until - self._clock.now()
        began = self._clock.monotonic()
        while True:
            try:
                await self._store.release(queue.lease, paused_until=paused_until, why=why[:_WORDS])
                if tracing.is_on:
                    until = None if paused_until is None else format_instant(paused_until)
                    tracing.about_destination(
                        "lease_returned", queue.lease, paused_until=until, reason=why or None
                    )
            except StoreBroken:
                raise
            except StoreError as error:
                log.warning("release_failed", fault="local", reason=str(error))
            else:
                return
            if self.is_stopping:
                return
            await asyncio.sleep(POLL)
            if pause is not None:  # the clock may have been set meanwhile
                waited = timedelta(seconds=self._clock.monotonic() - began)
                paused_until = self._clock.now() + pause - waited

"""What a worker delivers next: claims, leases, and the destination queues they feed.

Keeps a window of due work, not the queue. New messages may be born into the window; everything
else is claimed when there is room. Leases are renewed at a third of their time, and handed back
on a clean stop. A worker that slept, or was stopped, asks for its leases before it sends anything.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

import structlog

from relayd.deliverer.destination_queue import DestinationQueue
from relayd.deliverer.nexthop.hosts import NextHop
from relayd.deliverer.queue_owner import QueueClosed
from relayd.deliverer.recorder import Recorder
from relayd.deliverer.rerouter import Rerouter
from relayd.errors import StoreBroken, StoreError
from relayd.mail.ids import WorkerNumber
from relayd.mail.words import Fault, format_instant
from relayd.policy import retry
from relayd.policy.seldom import Seldom
from relayd.ports.outward import Clock
from relayd.ports.queue import Lease, QueueStore, Work
from relayd.trace import tracing

LEASE_FOR = timedelta(seconds=60)
WINDOW = 1000  # messages leased at once
QUEUE_WINDOW = 250  # of them waiting for one destination
SLOW_WINDOW = 20  # the same at a limited rate, or while nobody knows if it takes mail
TRIAL_WINDOW = 500  # where queues that have not taken mail have so much, strangers get no more
_TRUSTED_WINDOW = 750  # nor, from here on, do those that took mail under an earlier queue
_TRUSTED_AT_MOST = 10_000  # destinations
WINDOW_OCTETS = 64 * 1024 * 1024  # of content of new messages held for them
_CLAIM = 200  # recipients claimed at once
_CLAIM_EACH = 100  # of them for one destination: as many as make one transaction
_QUEUES = (
    2 * WINDOW
)  # beyond which those without work are closed at once: each has a lease to renew
_REMEMBERED = 10_000  # destinations that failed, and how often
_POLL = 1.0  # seconds between looks at the store; wake-ups are hints only
_SHORTAGE = timedelta(
    seconds=5
)  # and up to twice that, until what this machine lacks is asked for again
_WORDS = 500  # characters of why a destination is paused
_SURE = 2 / 3  # of the time of a lease, from its renewal on; two renewals are due by then

log = structlog.get_logger()


class Scheduler:
    """Feeds the destination queues of one worker."""

    def __init__(
        self,
        *,
        store: QueueStore,
        worker: WorkerNumber,
        next_hop: Callable[[str], NextHop],
        recorder: Recorder,
        rerouter: Rerouter,
        clock: Clock,
        jitter: Callable[[], float],
        places: int = WINDOW,
    ) -> None:
        """`places` is how many connections there may be: those on trial have their part of these too."""
        self._trial_window = min(TRIAL_WINDOW, max(1, places // 2))
        self._trusted_window = min(_TRUSTED_WINDOW, max(1, places * 3 // 4))
        self._store = store
        self._worker = worker
        self._next_hop = next_hop
        self._recorder = recorder
        self._rerouter = rerouter
        self._clock = clock
        self._jitter = jitter
        self._queues: dict[str, DestinationQueue] = {}
        self._failures: dict[str, int] = {}  # in a row, by destination; the latest last
        self._count = 0
        self._octets = 0
        self._on_trial: Counter[Lease] = Counter()  # of the count: in queues that have not proven
        self._trial = 0  # the same, of all queues
        self._trusted: dict[str, None] = {}  # took mail, and did not fail since; the latest last
        self._held_until = 0.0  # monotonic: when the leases of the queues may be over
        self._stopping = False
        self._shortage = Seldom()
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()  # no queue is open
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
        """A slow destination may not fill the window; a closing queue leaves all to the store.

        Nor may many together that have not taken mail: it may be minutes until they are known to
        take none (F-34).
        """
        queue = self._queues.get(destination)
        if queue is None or not queue.is_proven:
            is_trusted = destination in self._trusted
            limit = self._trusted_window if is_trusted else self._trial_window
            if self._trial >= limit:
                return True
        return queue is not None and (queue.is_closing or queue.waiting >= _room_of(queue))

    def _room_to_claim(self) -> int:
        """Claims bring little content along, so octets do not count."""
        room = min(WINDOW - self._count, _CLAIM)
        return 0 if self._stopping or room < _CLAIM // 4 else room

    def put(self, work: Work) -> None:
        """Take leased work into the window."""
        self._count += 1
        self._octets += _held(work)
        destination = work.lease.destination
        queue = self._queues.get(destination)
        if queue is None or queue.lease != work.lease:
            if queue is not None:
                queue.close()  # the slot was lost and taken again: that queue's work is stale
            queue = self._queues[destination] = self._open(work.lease)
            if tracing.is_on:
                tracing.about_destination("lease_taken", work.lease)
        if self._stopping:
            queue.close()  # a claim or a commit that was under way brought it: hand it back
        if not queue.is_proven:
            self._on_trial[work.lease] += 1
            self._trial += 1
        queue.put(work)

    def wake(self) -> None:
        """Look at the store now: something may have become due."""
        self._wake.set()

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Claim and deliver until `stop`."""
        self._tasks = tasks
        self._held_until = self._clock.monotonic() + _SURE * LEASE_FOR.total_seconds()
        renewal = tasks.create_task(self._renew())
        while not self._stopping:
            self._wake.clear()
            claimed = 0
            try:
                claimed = await self._claim()
            except StoreBroken:
                raise
            except StoreError as error:
                log.warning("claim_failed", fault="local", reason=str(error))
            if not claimed or not self._room_to_claim():
                await self._doze()
        renewal.cancel()

    async def stop(self, *, within: float) -> None:
        """Start nothing new, let transactions under way end, hand the leases back."""
        self._stopping = True
        self._wake.set()
        for queue in tuple(self._queues.values()):
            queue.close()
        try:
            async with asyncio.timeout(within):
                while self._queues:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            log.warning("stopped_with_open_transactions", lanes=len(self._queues))

    async def _claim(self) -> int:
        room = self._room_to_claim()
        if not room:
            return 0
        full = {destination for destination in self._queues if self._is_full(destination)}
        for window in (self._trial_window, self._trusted_window):
            if self._trial < window:
                room = min(room, window - self._trial)  # all of it may be for strangers
                break
        work = await self._store.claim(
            self._worker,
            limit=room,
            each=_CLAIM_EACH if self._trial < self._trial_window // 4 else SLOW_WINDOW,
            lease_for=LEASE_FOR,
            but=full,
            only=None if self._trial < self._trial_window else frozenset(self._welcome()),
        )
        misrouted = [piece for piece in work if not self._rerouter.belongs(piece)]
        for piece in work:  # at once: while the others are sorted out a lease may be lost
            if piece not in misrouted:
                self.put(piece)
        for piece in misrouted:
            mine = await self._rerouter.reroute(piece)
            if mine is not None:
                self.put(mine)
        for lease in {piece.lease for piece in work}:
            if lease.destination not in self._queues:  # nothing was left to be delivered there
                queue = self._queues[lease.destination] = self._open(lease)
                queue.close()
        return sum(len(piece.recipients) for piece in work)

    def _welcome(self) -> Iterable[str]:
        """Which destinations may have more while others fill their part of the window."""
        if self._trial < self._trusted_window:
            return self._trusted
        return (destination for destination, queue in self._queues.items() if queue.is_proven)

    async def _doze(self) -> None:
        try:
            async with asyncio.timeout(_POLL):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _renew(self) -> None:
        done = self._clock.monotonic()
        while True:
            await asyncio.sleep(LEASE_FOR.total_seconds() / 3)
            try:
                await self._extend()
                before, done = done, self._clock.monotonic()
                # If that took a lease's time, the others are late as well: they go first.
                late = done - before >= LEASE_FOR.total_seconds()
                freed = 0 if late else await self._store.reap()
            except StoreBroken:
                raise
            except StoreError as error:
                log.warning("renewal_failed", fault="local", reason=str(error))
                continue
            if freed:
                self._wake.set()

    async def _extend(self) -> None:
        """Renew the leases of all queues, and close those that lost theirs."""
        until = self._clock.monotonic() + _SURE * LEASE_FOR.total_seconds()
        queues = tuple(self._queues.values())
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

    def _open(self, lease: Lease) -> DestinationQueue:
        assert self._tasks is not None
        return DestinationQueue(
            lease,
            hop=self._next_hop(lease.destination),
            recorder=self._recorder,
            tasks=self._tasks,
            owner=self,
        )

    # --- QueueOwner ------------------------------------------------------------------------

    @property
    def has_few_queues(self) -> bool:
        return len(self._queues) <= _QUEUES

    def done(self, work: Work) -> None:
        self._count -= 1
        self._octets -= _held(work)
        if self._on_trial[work.lease]:
            self._end_trial(work.lease, 1)
        queue = self._queues.get(work.lease.destination)
        if self._count == WINDOW // 2 or (
            queue is not None and queue.waiting == _room_of(queue) // 2
        ):
            self._wake.set()

    async def holds(self, queue: DestinationQueue) -> bool:
        """Tell whether the lease of a queue is ours for sure; ask the store if that is long ago."""
        while not queue.is_closed and self._clock.monotonic() >= self._held_until:
            try:
                await self._extend()
            except StoreBroken:
                raise
            except StoreError as error:
                log.warning("renewal_failed", fault="local", reason=str(error))
                await asyncio.sleep(_POLL)
        return not queue.is_closed

    def _end_trial(self, lease: Lease, count: int) -> None:
        before = self._trial
        self._on_trial[lease] -= count
        self._trial -= count
        if not self._on_trial[lease]:
            del self._on_trial[lease]
        if self._trial <= self._trial_window // 2 < before:
            self._wake.set()

    def proven(self, queue: DestinationQueue) -> None:
        self._end_trial(queue.lease, self._on_trial[queue.lease])
        destination = queue.lease.destination
        self._failures.pop(destination, None)
        self._trusted.pop(destination, None)
        self._trusted[destination] = None
        if len(self._trusted) > _TRUSTED_AT_MOST:
            del self._trusted[next(iter(self._trusted))]
        self._wake.set()

    def closed(self, queue: DestinationQueue, why: QueueClosed | None) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._hand_back(queue, why))

    async def _hand_back(self, queue: DestinationQueue, why: QueueClosed | None) -> None:
        destination = queue.lease.destination
        until = None if why is None else self._pause(destination, why)
        await self._release(queue, until, "" if why is None else _in_words(why))
        if self._queues.get(destination) is queue:
            del self._queues[destination]
        self._quiet.set()
        self._wake.set()

    def _pause(self, destination: str, why: QueueClosed) -> datetime:
        """Return until when to leave the destination alone."""
        if why.until is not None:
            return why.until
        if why.is_shortage:
            if self._shortage.is_due(self._clock.monotonic()):
                log.error("resources_short", fault="local", reason=why.reason)
            return self._clock.now() + _SHORTAGE * (1 + self._jitter())
        self._trusted.pop(destination, None)
        failures = self._failures[destination] = self._failures.pop(destination, 0) + 1
        if len(self._failures) > _REMEMBERED:
            del self._failures[next(iter(self._failures))]
        pause = retry.LOGIN_PROBE
        if not why.login_refused:
            pause = retry.pause_after(failures, jitter=self._jitter())
        until = self._clock.now() + pause
        log.error(
            "login_refused" if why.login_refused else "destination_down",
            destination=destination,
            fault=_fault(why).value,
            paused_until=until.isoformat(timespec="seconds"),
            reason=_in_words(why),
        )
        return until

    async def _release(
        self, queue: DestinationQueue, paused_until: datetime | None, why: str
    ) -> None:
        """Hand a lease back, however often it takes; a queue's lease without the queue never ends.

        Claims of others from the destination would renew it. At a stop the successor frees it.
        """
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
            if self._stopping:
                return
            await asyncio.sleep(_POLL)


def _held(work: Work) -> int:
    """Return how many octets of content it has in memory; a file is none of them."""
    return len(work.content) if isinstance(work.content, bytes) else 0


def _in_words(why: QueueClosed) -> str:
    return why.reason or "; ".join(f"{each.host}: {each.failed}" for each in why.failures)


def _fault(why: QueueClosed) -> Fault:
    """Return whose it is, when all that failed agree; else it is the other side's to explain."""
    ended = [each.failed.breakdown for each in why.failures]
    faults = {Fault.PEER if breakdown is None else breakdown.fault for breakdown in ended}
    return faults.pop() if len(faults) == 1 else Fault.PEER


def _room_of(queue: DestinationQueue) -> int:
    return QUEUE_WINDOW if queue.is_proven and not queue.is_limited else SLOW_WINDOW

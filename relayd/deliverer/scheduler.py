"""What a worker delivers next: it claims work, and feeds the destination queues with it.

Keeps a window of due work, not the queue (`policy/delivery/admission.py` has the sizes). New
messages may be leased at enqueue and come in directly; everything else is claimed when there is
room. `leases.py` keeps the leases, `pauses.py` says how long a failed destination is left alone.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

import structlog

from relayd.deliverer.destination_queue import DestinationQueue
from relayd.deliverer.leases import Leases
from relayd.deliverer.nexthop.hosts import NextHop
from relayd.deliverer.pauses import Pauses, in_words
from relayd.deliverer.queue_owner import QueueClosed
from relayd.deliverer.recorder import Recorder
from relayd.deliverer.rerouter import Rerouter
from relayd.deliverer.site_news import SiteNews
from relayd.deliverer.window import Window
from relayd.errors import StoreBroken, StoreError
from relayd.policy.delivery import looking
from relayd.policy.delivery.admission import ASIDE_AFTER, WINDOW, Who
from relayd.policy.delivery.shares import Part
from relayd.policy.seldom import Seldom
from relayd.policy.stopping import RECORD_WITHIN
from relayd.ports.queue import Lease, Work
from relayd.trace import tracing

_FEW_QUEUES = 2 * WINDOW  # more without work are closed at once: each has a lease to renew

log = structlog.get_logger()


class Scheduler:
    """Feeds the destination queues of one worker."""

    def __init__(
        self,
        leases: Leases,
        *,
        next_hop: Callable[[str], NextHop],
        recorder: Recorder,
        rerouter: Rerouter,
        pauses: Pauses,
        slots: int = WINDOW,
        news: SiteNews | None = None,
    ) -> None:
        """`slots` is how many connections there may be; `news` is read again with each look for work."""
        self._news = news
        self.hears_hints: Callable[[], bool] = lambda: False  # of all who have the queue
        self.make_room: Callable[[], None] = lambda: None  # those give way who wait in line
        self._rests_long = False  # until the next look
        self._was_busy, self._busy_at = True, 0.0  # since it was last asked, and when that was
        self.holds = leases.holds  # asked by the queues, before each transaction
        self._leases = leases
        self._queues = leases.queues
        self._busy: set[str] = set()  # the destinations whose queues may not be at rest
        self._next_hop = next_hop
        self._recorder = recorder
        self._rerouter = rerouter
        self._window = Window(slots)
        self._pauses = pauses
        self._history = pauses.history
        self._more_is_due = False  # than the last claim could bring
        self._left_out: set[str] | None = None  # by a claim that found nothing else; None: unknown
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()  # no queue is open
        self._stopped = asyncio.Event()  # nothing is under way any more
        self._tasks: asyncio.TaskGroup | None = None
        self._is_closed = False

    def has_room(self, octets: int, destinations: Collection[str] = ()) -> bool:
        """Tell whether more may be leased: a new message of that size for those destinations."""
        if not self._may_lease or not self._window.has_room(octets):
            return False
        for destination in destinations:  # noqa: SIM110 -- for each new message: no generator
            if self._is_full(destination):
                return False
        return True

    def divide_by(self, part: Part) -> None:
        """Lease nothing without a part of the limits: the others, who have theirs, deliver the mail meanwhile."""
        self._leases.is_counted = part.is_counted
        if not part.is_counted:
            for queue in tuple(self._queues.values()):
                queue.close()
        self._wake.set()

    def join_by(self, tell_others: Callable[[], None]) -> None:
        """Have the workers of other machines told of this one, for as long as they do not count it."""
        self._leases.on_joining = tell_others

    def count_others(self) -> None:
        """Count soon who has joined: they deliver nothing before."""
        self._leases.count_others()

    @property
    def _may_lease(self) -> bool:
        return self._leases.is_counted and not self._leases.is_stopping

    def _is_full(self, destination: str) -> bool:
        """Tell whether the destination may have no more work for now."""
        queue = self._queues.get(destination)
        if queue is None or not queue.is_verified:
            is_known_good = destination in self._history.known_good
            if self._window.is_crowded:
                self._set_aside()
            if not self._window.may_probe(queue, is_known_good=is_known_good):
                return True
        return queue is not None and queue.is_full

    def _full(self) -> set[str]:
        """Return the destinations with a queue that may have no more work for now.

        Most of a thousand queues have nothing to do; those are not looked at again until they have.
        """
        known_good, probes = self._history.known_good, self._window.probes()
        full = set()
        for destination in tuple(self._busy):
            queue = self._queues.get(destination)
            if queue is None:
                self._busy.discard(destination)
                continue
            if queue.is_verified:
                if queue.is_at_rest:
                    self._busy.discard(destination)
                    continue
            elif not probes.may_have(queue, is_known_good=destination in known_good):
                full.add(destination)
                continue
            if queue.has_enough:
                full.add(destination)
        return full

    def put(self, work: Work, *, is_claimed: bool = False) -> None:
        """Take leased work into the window; what came too late for its lease is free, and stays in the store.

        It is new mail, unless it `is_claimed`.
        """
        if self._is_closed or self._leases.is_handed_back(work.lease):
            return
        destination = work.lease.destination
        queue = self._queues.get(destination)
        if queue is None or queue.lease != work.lease:
            if queue is not None:
                queue.close()  # the slot was lost and taken again: that queue's work is stale
            queue = self._queues[destination] = self._open(work.lease)
            if tracing.is_on:
                tracing.about_destination("lease_taken", work.lease)
        if not self._may_lease:
            queue.close()  # a claim or a commit that was under way brought it: hand it back
        if self._rests_long:
            self._rests_long = False
            self.wake()  # others may have seen something of the site
        self._window.put(queue, work, is_claimed=is_claimed)
        self._busy.add(destination)
        queue.put(work, is_claimed=is_claimed)

    def wake(self) -> None:
        """Look at the store now: something may have become due."""
        self._was_busy = True
        self._wake.set()

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Claim and deliver until `stop`."""
        self._tasks = tasks
        self._leases.begin()
        renewal = tasks.create_task(self._leases.renew(self.wake), name="renewal of leases")
        loop, trouble = asyncio.get_running_loop(), Seldom()
        while not self._leases.is_stopping:
            self._wake.clear()
            claimed = 0
            try:
                if self._news is not None:
                    await self._news.refresh()
                claimed = await self._claim()
                trouble = Seldom()
            except StoreBroken:
                raise
            except StoreError as error:
                if trouble.is_due(loop.time()):
                    log.warning("claim_failed", fault="local", reason=str(error))
            if not claimed or self._window.quota is None:
                await self._doze()
        await self._stopped.wait()  # what is under way is ours as long as it lasts
        renewal.cancel()

    async def drain(self, *, within: float) -> bool:
        """Start nothing new, let transactions under way end, hand the leases back; tell whether all have."""
        self._leases.is_stopping = True
        self._wake.set()
        for queue in tuple(self._queues.values()):
            queue.close()
        try:
            async with asyncio.timeout(within):
                while self._queues:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self, *, within: float, dot_within: float) -> None:
        """Drain, and hang up on what is under way after `within` seconds; after its final dot in `dot_within`."""
        try:
            await self._stop(within, dot_within)
        finally:
            self._stopped.set()

    def close(self) -> None:
        """Begin no task any more: what a late commit leases from now on, others have when its lease ends."""
        self._is_closed = True

    async def _stop(self, within: float, dot_within: float) -> None:
        steps = ((within, False), (max(0.0, dot_within - within), True))
        for seconds, after_dot in steps:
            if await self.drain(within=seconds):
                return
            for queue in tuple(self._queues.values()):
                queue.cut(after_dot=after_dot)
        if not await self.drain(within=RECORD_WITHIN):
            log.warning("stopped_with_open_transactions", lanes=len(self._queues))
            for queue in tuple(self._queues.values()):
                queue.abandon()

    async def _claim(self) -> int:
        """Claim what there is room for, put it in the queues; return how many recipients came."""
        self._left_out = None
        self._set_aside()
        quota = self._window.quota
        if not self._may_lease:
            return 0
        if quota is None:
            return await self._feed() if self._more_is_due else 0
        full = self._full()
        # What this claim leaves to nobody needs no other one, also if its first answer comes meanwhile.
        self._left_out = full if quota.who is Who.ALL else None
        try:
            work = await self._leases.claim(quota, but=full, only=self._only(quota.who))
        except BaseException:
            self._left_out = None
            raise
        if work:
            self._left_out = None
        claimed = await self._take(work)
        self._more_is_due = claimed >= quota.limit
        return claimed

    async def _feed(self) -> int:
        """Claim a few for each queue that takes mail and has none, while a backlog has all that claims may have.

        Their new mail may have come in by another worker.
        """
        quota = self._window.few
        hungry = frozenset(name for name, queue in self._queues.items() if queue.is_hungry)
        if quota is None or not hungry:
            return 0
        return await self._take(await self._leases.claim(quota, but=(), only=hungry))

    async def _take(self, work: Sequence[Work]) -> int:
        """Put what was claimed in the queues; return how many recipients that are."""
        misrouted = [piece for piece in work if not self._rerouter.belongs(piece)]
        for piece in work:  # at once: while the others are rerouted a lease may be lost
            if piece not in misrouted:
                self.put(piece, is_claimed=True)
        for piece in misrouted:
            mine = await self._rerouter.reroute(piece)
            if mine is not None:
                self.put(mine, is_claimed=True)
        for lease in {piece.lease for piece in work}:
            if lease.destination not in self._queues:  # nothing was left to be delivered there
                queue = self._queues[lease.destination] = self._open(lease)
                queue.close()
        return sum(len(piece.recipients) for piece in work)

    def _only(self, who: Who) -> frozenset[str] | None:
        """Return the destinations that may have more; None: all."""
        if who is Who.ALL:
            return None
        if who is Who.KNOWN_GOOD:
            return frozenset(self._history.known_good)
        return frozenset(name for name, queue in self._queues.items() if queue.is_verified)

    def _set_aside(self) -> None:
        """Let those whose answer is late keep nobody from being asked."""
        late = (queue for name in self._busy if (queue := self._queues.get(name)) is not None)
        if self._window.set_aside(late, asyncio.get_running_loop().time()):
            self.make_room()

    async def _doze(self) -> None:
        seconds = self._rest
        self._rests_long = seconds > looking.POLL
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    @property
    def _rest(self) -> float:
        """Return the seconds until the next look at the store."""
        if self._window.is_crowded:
            return ASIDE_AFTER
        now = asyncio.get_running_loop().time()
        if self._was_busy or not self._window.is_empty:
            self._was_busy, self._busy_at = False, now
        quiet_for = now - self._busy_at
        return looking.rest(
            hears_hints=self.hears_hints(), quiet_for=quiet_for, next_due=self._leases.next_due
        )

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
        return len(self._queues) <= _FEW_QUEUES

    def done(self, queue: DestinationQueue, work: Work) -> None:
        has_room = self._window.done(queue, work)
        if has_room or self._window.load.messages == WINDOW // 2 or queue.is_half_empty:
            self._wake.set()

    def verified(self, queue: DestinationQueue) -> None:
        if self._window.verified(queue):
            self._wake.set()
        destination = queue.lease.destination
        self._history.took_mail(destination)
        # Mail for it that waits in the store was left out by the last claim; most new domains
        # have none.
        if self._left_out is None or destination in self._left_out:
            self._wake.set()

    def closed(self, queue: DestinationQueue, why: QueueClosed | None) -> None:
        assert self._tasks is not None
        self._busy.add(queue.lease.destination)
        self._was_busy = True
        name = f"return of the lease of {queue.lease.destination}"
        self._tasks.create_task(self._hand_back(queue, why), name=name)

    async def _hand_back(self, queue: DestinationQueue, why: QueueClosed | None) -> None:
        destination = queue.lease.destination
        await queue.leave_account()
        until = None if why is None else self._pauses.until(destination, why)
        await self._leases.hand_back(queue, until, "" if why is None else in_words(why))
        if self._queues.get(destination) is queue:
            del self._queues[destination]
        self._quiet.set()
        self._wake.set()

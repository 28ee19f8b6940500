"""The way to one destination: work that is leased, and the connections that carry it.

A connection is a task that takes one piece of work after another; the next begins only when the
last is on record, so that a crash repeats at most the open transactions. Until the destination has
answered a transaction only one connection is opened, then as many as the next hop allows. One that takes
long is no reason for the others to wait. When the
destination cannot be used, the queue closes: what is under way ends, the rest goes back to the store
uncounted. `policy/delivery/queue_state.py` has the states, `attempts` the steps of one attempt.
"""

import asyncio
from collections import deque
from functools import partial

from relayd.deliverer.attempts import Attempts
from relayd.deliverer.nexthop.hosts import NextHop, Session
from relayd.deliverer.queue_owner import QueueClosed, QueueOwner
from relayd.deliverer.recorder import Recorder
from relayd.deliverer.sessions import Sessions
from relayd.policy.delivery.admission import ENOUGH_AT_LEAST, has_enough, queue_window
from relayd.policy.delivery.queue_state import (
    MAY_SEND,
    TAKES_WORK,
    TRANSITIONS,
    QueueEvent,
    QueueState,
)
from relayd.ports.outward import told_of_waiting
from relayd.ports.queue import Lease, Work

_KEPT_FOR = 30.0
"""Seconds the lease of a destination is kept without work.

The next message to it is leased at enqueue then, and finds what was learnt of the destination.
"""
_VERIFIED = QueueState.VERIFIED  # looked at for each message; up to 3.11 `QueueState.` is a call


class DestinationQueue:
    """Delivers what it is given, until it is closed."""

    def __init__(
        self,
        lease: Lease,
        *,
        hop: NextHop,
        recorder: Recorder,
        tasks: asyncio.TaskGroup,
        owner: "QueueOwner",
    ) -> None:
        self.lease = lease
        self._hop = hop
        self._sessions = Sessions(lease.destination, hop=hop, recorder=recorder)
        self._attempts = Attempts(self, hop=hop, sessions=self._sessions, recorder=recorder)
        self._recorder = recorder
        self._tasks = tasks
        self._owner = owner
        self._waiting: deque[Work] = deque()
        self._claimed: set[int] = set()  # which of these came by a claim; the others are new mail
        self._idle: deque[asyncio.Future[Work | None]] = deque()  # connections without work
        self._open = 0  # connection tasks
        self._carriers: set[asyncio.Task[None]] = set()  # these
        self._slow = 0  # transactions that took long so far
        self._expiry: asyncio.TimerHandle | None = None  # of the lease, without work
        self._state = QueueState.PROBING
        self._why: QueueClosed | None = None
        self.opened_at = asyncio.get_running_loop().time()
        self.probing = self.claimed = 0  # its part of the scheduler's counts; the window writes it
        self.is_aside = False  # its answer is late; the same

    @property
    def is_closing(self) -> bool:
        """It takes no more work."""
        return self._state not in TAKES_WORK

    @property
    def is_closed(self) -> bool:
        """Nothing may be sent any more but what is under way."""
        return self._state not in MAY_SEND

    @property
    def is_verified(self) -> bool:
        """The destination has taken mail since the queue was opened, which takes more."""
        return self._state is _VERIFIED

    @property
    def is_at_rest(self) -> bool:
        """It could take more work and has none: most queues, most of the time.

        So it stays until it is given work, or tells the owner that it is closed.
        """
        return self._state is _VERIFIED and not self._waiting and not self._open

    @property
    def is_hungry(self) -> bool:
        """It takes mail, and has none that waits, nor any that came by a claim."""
        return self._state is _VERIFIED and not self._waiting and not self.claimed

    @property
    def is_full(self) -> bool:
        """It should get no more work for now."""
        if self._state not in TAKES_WORK:
            return True
        return bool(self._waiting) and len(self._waiting) >= self._window()

    @property
    def has_enough(self) -> bool:
        """Claims should bring no more for now: the rest of its window is for new mail."""
        if self._state not in TAKES_WORK:
            return True
        waiting = len(self._waiting)
        if waiting < ENOUGH_AT_LEAST:  # most queues: this is asked of each for each claim
            return False
        if self._state is _VERIFIED:
            return has_enough(waiting, len(self._claimed), self._window())
        return self.is_full or has_enough(waiting, waiting, self._window())

    def has_waiting(self, count: int) -> bool:
        """Tell whether so many messages wait for a connection."""
        return len(self._waiting) >= count

    @property
    def is_half_empty(self) -> bool:
        """Half of what may wait for a connection has just been taken by one."""
        return len(self._waiting) == self._window() // 2

    @property
    def wanted(self) -> int:
        """How many messages are to be sent by now, with one in hand."""
        return len(self._waiting) + 1

    @property
    def has_others(self) -> bool:
        """There are connections beside the one that asks."""
        return self._open > 1

    async def holds(self) -> bool:
        """Make sure that the lease is still ours; else this queue is closed."""
        return await self._owner.holds(self)

    def _window(self) -> int:
        return queue_window(is_verified=self._state is _VERIFIED, is_limited=self._hop.is_limited)

    def put(self, work: Work, *, is_claimed: bool = False) -> None:
        """Carry `work` as soon as a connection is free. A closing queue leaves it to the store."""
        if self._state not in TAKES_WORK:
            self._owner.done(self, work)
            return
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(work)
                return
        self._waiting.append(work)
        if is_claimed:
            self._claimed.add(id(work))
        self._grow()

    def _first(self) -> Work:
        """Take what waits longest."""
        work = self._waiting.popleft()
        self._claimed.discard(id(work))
        return work

    def drain(self, why: QueueClosed) -> None:
        """Send what a connection has in hand, and nothing more for now."""
        if self._step(QueueEvent.DRAIN):
            self._leave(why)

    def close(self, why: QueueClosed | None = None) -> None:
        """Start nothing new; the owner is told when what is under way has ended."""
        if self._step(QueueEvent.CLOSE):
            self._sessions.close()
            self._leave(why)

    async def leave_account(self) -> None:
        """Give back what was booked for messages that go later, or by another worker."""
        if self._hop.account is not None:
            await self._hop.account.leave()

    def cut(self, *, after_dot: bool) -> None:
        """Hang up on what is under way in a queue that is closed, as `Sessions.cut` does."""
        self._sessions.cut(after_dot=after_dot)

    def abandon(self) -> None:
        """End the tasks of a queue that is closed, as a crash would: nothing more gets on record."""
        for carrier in tuple(self._carriers):
            carrier.cancel()

    def _step(self, event: QueueEvent) -> bool:
        """Go where the table says; return whether that is another state."""
        before = self._state
        self._state = TRANSITIONS[before][event]
        return self._state is not before

    def _leave(self, why: QueueClosed | None) -> None:
        """Leave to the store what waits."""
        self._why = why or self._why
        while self._waiting:
            self._owner.done(self, self._first())
        for idle in self._idle:
            if not idle.done():
                idle.set_result(None)
        self._end()

    def _end(self) -> None:
        """Tell the owner, once, when the last connection has no more work."""
        if not self._open and self._step(QueueEvent.EMPTY):
            self._owner.closed(self, self._why)

    def _grow(self) -> None:
        if self._open < self.allowed:
            self._open += 1
            name = f"connection to {self.lease.destination}"
            carrier = self._tasks.create_task(self._carry(), name=name)
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)

    @property
    def allowed(self) -> int:
        """Return how many connections there may be; one, until the destination has answered or takes long."""
        allowed = self._hop.allowed
        return allowed if self._state is _VERIFIED else min(allowed, 1 + self._slow)

    def verify(self) -> None:
        """The destination takes mail: use more connections if there is work for them."""
        self._hop.answered()
        if self._state is _VERIFIED:
            if self._waiting:
                self._grow()
            return
        self._step(QueueEvent.ANSWERED)
        self._owner.verified(self)
        for _ in self._waiting:
            self._grow()

    def widen(self) -> None:
        """A transaction takes long: the others get one more connection."""
        self._slow += 1
        self._hop.answered()
        if self._waiting:
            self._grow()

    async def _carry(self) -> None:
        """Be one connection: open it with the first work, carry on until there is none."""
        told_of_waiting.set(self._remark)
        session: Session | None = None
        try:
            while (work := await self._next(session)) is not None:
                try:
                    session = await self._attempts.carry(work, session)
                finally:
                    self._owner.done(self, work)
        finally:
            try:
                if session is not None:
                    await self._hop.give_back(session)
            finally:  # until then the server counts it
                self._open -= 1
        self._end()
        if self._state not in TAKES_WORK:
            return
        if self._waiting:
            self._grow()
        elif not self._open and not self._hop.idle_timeout:
            kept_for = _KEPT_FOR if self._owner.has_few_queues else 0.0
            self._expiry = asyncio.get_running_loop().call_later(kept_for, self.close)

    def _remark(self, why: str) -> None:
        name = f"remark on {self.lease.destination}"
        self._tasks.create_task(self._recorder.results.remark(self.lease, why), name=name)

    async def _next(self, session: Session | None) -> Work | None:
        """Take the next work, waiting a while for it; None: leave."""
        if self._open > self._hop.allowed:
            return None  # the server has too much of us: the others are enough
        if self._waiting:
            return self._first()
        if self._state not in TAKES_WORK or not self._hop.idle_timeout:
            return None
        idle: asyncio.Future[Work | None] = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        leave = partial(_give_up, idle)
        timer = idle.get_loop().call_later(self._hop.idle_timeout, leave)
        if session is not None:
            self._hop.rest(leave)
        try:
            return await idle
        finally:
            timer.cancel()
            self._hop.resume(leave)


def _give_up(idle: "asyncio.Future[Work | None]") -> None:
    if not idle.done():
        idle.set_result(None)

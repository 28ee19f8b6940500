"""The way to one destination: work that is leased, and the connections that carry it.

A connection is a task that takes one piece of work after another; the next begins only when the
last is on record, so that a crash repeats at most the open transactions. Until the destination has
answered a transaction only one connection is opened, then as many as the next hop allows. One that takes
long is no reason for the others to wait. When the
destination cannot be used, the queue closes: what is under way ends, the rest goes back to the store
uncounted. `policy/delivery/queue_state.py` has the states.

One attempt, in steps:

1. Read the content. If it is lost, the recipients are deferred; if it is gone, so is the attempt.
2. Rewrite what rules say, or hold the recipients if that gives what may not be sent. Sort them into
   envelopes, one transaction each. For each envelope:
3. Wait until the store can record results (S-52).
4. Keep the connection, or have the next hop open one. It tries the hosts in their order, except
   those that failed in this attempt.
5. Make sure that the lease is still ours: a dead worker's mail has a new owner after a minute.
   Leave those whom a pause rule stops, as before step 3.
6. Send the message.
7. Judge each recipient and record all results in one transaction of the store.
8. Recipients of whom the server said nothing go on to step 3: the session broke before the final
   dot, or the server had too many of them. After the dot nobody goes on (S-06).
9. If no host can be used, that is the result of all who are left. The queue closes for a while,
   unless the failure is about this mail alone.

If the process dies before step 7, the store still has the recipients: they are tried again, and
shown as possible duplicates.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from relayd.deliverer.attempt import Attempt, is_too_much, left_alone
from relayd.deliverer.nexthop.hosts import NextHop, NoHost, NotYet, Session
from relayd.deliverer.queue_owner import QueueClosed, QueueOwner
from relayd.deliverer.recorder import Recorder
from relayd.deliverer.sessions import Sessions
from relayd.deliverer.settlements import facts_of
from relayd.errors import Shortage
from relayd.mail.attempt import AttemptFacts
from relayd.mail.envelope import QueuedRecipient
from relayd.mail.ids import MessageId
from relayd.mail.outcome import Deferred, NotTried, Outcome, Relayed
from relayd.mail.words import format_instant
from relayd.policy.delivery.admission import queue_window
from relayd.policy.delivery.hosts import decide_no_host
from relayd.policy.delivery.queue_state import (
    MAY_SEND,
    TAKES_WORK,
    TRANSITIONS,
    QueueEvent,
    QueueState,
)
from relayd.policy.delivery.verdict import is_too_fast
from relayd.ports.outward import Delivery, told_of_waiting
from relayd.ports.queue import Lease, Work
from relayd.trace import tracing

_KEPT_FOR = 30.0
"""Seconds the lease of a destination is kept without work.

The next message to it is leased at enqueue then, and finds what was learnt of the destination.
"""
_SLOW_AFTER = 10.0
"""Seconds of a transaction, after which the others no longer wait for its answer to get a connection.

The server has let us in. It may take minutes for one message, and answer the next one at once.
"""
_ENOUGH = 4  # connections: so many slow messages at once are no chance
_VERIFIED = QueueState.VERIFIED  # looked at for each message; up to 3.11 `QueueState.` is a call

log = structlog.get_logger()


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
        self._recorder, self._pausing = recorder, recorder.pausing
        self._tasks = tasks
        self._owner = owner
        self._waiting: deque[Work] = deque()
        self._idle: deque[asyncio.Future[Work | None]] = deque()  # connections without work
        self._open = 0  # connection tasks
        self._carriers: set[asyncio.Task[None]] = set()  # these
        self._slow = 0  # transactions that took long so far
        self._expiry: asyncio.TimerHandle | None = None  # of the lease, without work
        self._state = QueueState.PROBING
        self._why: QueueClosed | None = None
        self.probing = 0  # its part of the scheduler's count; the scheduler writes it

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
        """It could take more work, and nothing waits for a connection: most queues, most of the time."""
        return self._state is _VERIFIED and not self._waiting

    @property
    def is_full(self) -> bool:
        """It should get no more work for now."""
        if self._state not in TAKES_WORK:
            return True
        return bool(self._waiting) and len(self._waiting) >= self._window()

    @property
    def is_half_empty(self) -> bool:
        """Half of what may wait for a connection has just been taken by one."""
        return len(self._waiting) == self._window() // 2

    def _window(self) -> int:
        return queue_window(is_verified=self._state is _VERIFIED, is_limited=self._hop.is_limited)

    def put(self, work: Work) -> None:
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
        self._grow()

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
            self._owner.done(self, self._waiting.popleft())
        for idle in self._idle:
            if not idle.done():
                idle.set_result(None)
        self._end()

    def _end(self) -> None:
        """Tell the owner, once, when the last connection has no more work."""
        if not self._open and self._step(QueueEvent.EMPTY):
            self._owner.closed(self, self._why)

    def _grow(self) -> None:
        if self._open < self._allowed():
            self._open += 1
            name = f"connection to {self.lease.destination}"
            carrier = self._tasks.create_task(self._carry(), name=name)
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)

    def _allowed(self) -> int:
        """Return how many connections there may be; one, until the destination has answered or takes long."""
        allowed = self._hop.allowed
        return allowed if self._state is _VERIFIED else min(allowed, 1 + self._slow)

    def _widen(self) -> None:
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
                session = await self._attend(work, session)
        finally:
            self._open -= 1
            if session is not None:
                await self._hop.give_back(session)
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
            return self._waiting.popleft()
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

    async def _attend(self, work: Work, session: Session | None) -> Session | None:
        """Carry one work to its record; return the session if it is of further use."""
        try:
            content = await self._recorder.content_of(work)
            if content is None:
                return session  # an operator ended it meanwhile
            try:
                transactions = await self._recorder.transactions(work, content)
            except Shortage as lack:
                self._lack(lack)
                return session
            for transaction in transactions:
                if self._state not in TAKES_WORK:
                    break  # the others go back to the store with what waits
                attempt = Attempt(
                    work=work,
                    message=transaction.message,
                    recipients=transaction.recipients,
                    content=transaction.content,
                    kept=content,
                    rewritten=transaction.rewritten,
                )
                if self._pausing.stamp[0] != self._pausing.seen or self._pausing.delivery:
                    attempt = await self._without_paused(attempt)
                session = await self._carry_to(attempt, session)
            return session
        finally:
            self._owner.done(self, work)

    async def _carry_to(self, attempt: Attempt, session: Session | None) -> Session | None:
        """Bring the message to all recipients, in as many goes as that takes."""
        if tracing.is_on:
            tracing.begin_delivery(attempt.message, self.lease, attempt.recipients)
        while attempt.recipients:
            await self._recorder.results.ready()
            before, session = session, None
            try:
                wanted = len(self._waiting) + 1
                session = await self._sessions.open(before, attempt, wanted=wanted)
                may_send = session is not None and await self._owner.holds(self)  # it took long?
                if session is not None and may_send:
                    attempt = await self._transact(attempt, session)
                    continue
            except NoHost as none:
                await self._fail(attempt, none)
                break
            except NotYet as later:
                if await self._put_off(attempt, later):
                    break
            except Shortage as lack:
                self._lack(lack)
            if attempt.failures and not self._sessions.are_cut:
                await self._fail(attempt, NoHost(attempt.failures))
            break
        return session

    def _lack(self, lack: Shortage) -> None:
        """This machine lacks something now: leave the rest for later."""
        self._hop.turned_away()
        self.drain(QueueClosed(is_shortage=True, reason=str(lack)))

    async def _without_paused(self, attempt: Attempt) -> Attempt:
        """Hand those back whose delivery a pause rule stops; nobody is left if that costs us the lease."""
        left = await self._recorder.leave_paused(attempt.work, attempt.recipients)
        if left is None:
            self.close()
        elif len(left) < len(attempt.recipients) and not await self._owner.holds(self):
            left = None  # it took long, and they have another owner by now
        return replace(attempt, recipients=left or ())

    async def _transact(self, attempt: Attempt, session: Session) -> Attempt:
        """Run one transaction; return what needs another one at once."""
        pausing = self._pausing
        if (pausing.stamp[0] != pausing.seen or pausing.delivery) and not (
            attempt := await self._without_paused(attempt)
        ).recipients:
            return attempt
        delivery = await self._deliver(attempt, session)
        if delivery.stale:
            session.connection.abort()  # HC-15: a kept connection may be gone without a sign
            return attempt
        judged, rest = attempt.judged(delivery), attempt.rest(delivery, session)
        if rest.failures and not rest.failures[-1].lacks:
            session.connection.abort()
        outcomes: Sequence[Outcome] | None = ()
        if judged:
            outcomes = await self._recorder.record(
                attempt.work,
                judged,
                session.failures,
                better_mx_unreachable=session.better_mx_unreachable,
                site=session.site,
                content=attempt.kept,
                rewritten=attempt.rewritten,
            )
        replies = [(facts.reply, facts.stage) for facts in delivery.facts]
        await self._hop.saw(session, replies, attempt.message.id)
        if outcomes is None:  # what waits has another owner by now
            self.close()
            return attempt.done()
        if self._recorder.is_diverted(self.lease.destination):
            self.close()  # what waits goes another way from now on
        if await self._heed(judged, outcomes, attempt.message.id):
            return attempt.done()
        lost_at_door = bool(rest.failures) and rest.failures[-1].at_door
        if lost_at_door or is_too_much(delivery.facts, judged, outcomes):
            self._hop.turned_away()
        elif all(facts.reply is not None for facts in delivery.facts):
            self._verify()
        return rest

    async def _heed(
        self,
        judged: Sequence[tuple[QueuedRecipient, AttemptFacts]],
        outcomes: Sequence[Outcome],
        message: MessageId,
    ) -> bool:
        """Let outcomes that are about our account have their way; tell whether the attempt ends with them."""
        account = self._hop.account
        for (_, facts), outcome in zip(judged, outcomes, strict=True):
            match outcome:
                case NotTried():
                    self.close(QueueClosed(login_refused=True, reason=outcome.reason))
                    return True
                case Relayed() if account is not None:
                    account.took()
                    return False
                case Deferred() if account is not None and facts.reply is not None:
                    if is_too_fast(facts, outcome.category):
                        later = await account.too_fast(facts.reply, message)
                        if later is not None:
                            self.drain(QueueClosed(until=later.until, reason=later.why))
                        return False
                case _:
                    pass
        return False

    async def _deliver(self, attempt: Attempt, session: Session) -> Delivery:
        slow: asyncio.TimerHandle | None = None
        if self._allowed() < _ENOUGH:
            slow = asyncio.get_running_loop().call_later(_SLOW_AFTER, self._widen)
        try:
            return await self._sessions.deliver(attempt, session.connection)
        finally:
            if slow is not None:
                slow.cancel()

    def _verify(self) -> None:
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

    async def _put_off(self, attempt: Attempt, later: NotYet) -> bool:
        """Leave the destination alone until then; tell whether the attempt has ended for another reason."""
        if tracing.is_on:
            tracing.tell("put_off", until=format_instant(later.until), reason=later.why)
        until = later.until
        if later.left_alone is not None:
            if await self._recorder.divert(attempt.work, later.left_alone):
                until = self._recorder.now()  # it is claimed again, and moved
            elif await self._give_up(attempt, later):
                return True
        self.drain(QueueClosed(until=until, reason=later.why))
        return False

    async def _give_up(self, attempt: Attempt, later: NotYet) -> bool:
        """Record that recipients are too old to wait for a site any longer; tell whether all are."""
        old = self._recorder.overdue(attempt.message, attempt.recipients)
        if old:
            facts = facts_of(left_alone(self.lease.destination, later.why, at=self._recorder.now()))
            outcomes = await self._recorder.record(
                attempt.work,
                [(recipient, facts) for recipient in old],
                content=attempt.kept,
                rewritten=attempt.rewritten,
            )
            if outcomes is None:
                self.close()
        return len(old) == len(attempt.recipients)

    async def _fail(self, attempt: Attempt, none: NoHost) -> None:
        """No host can be used: record that for this work, and close the queue if waiting may help.

        What a host let in and did not survive says more of the message than of the host.
        """
        decision = decide_no_host(none.facts, all_asked=none.all_asked, has_others=self._open > 1)
        if decision.closes:
            self.close(QueueClosed(failures=none.failures, login_refused=decision.login_refused))
        deciding = none.failures[decision.deciding]
        outcomes = await self._recorder.record(
            attempt.work,
            [(recipient, facts_of(deciding)) for recipient in attempt.recipients],
            [failure for failure in none.failures if failure is not deciding],
            better_mx_unreachable=decision.other_host_may_take_it,
            all_hosts_refuse=decision.all_hosts_refuse,
            content=attempt.kept,
            rewritten=attempt.rewritten,
        )
        if outcomes is None:
            self.close()


def _give_up(idle: "asyncio.Future[Work | None]") -> None:
    if not idle.done():
        idle.set_result(None)

"""One attempt of one message at a destination, from its content to the record of its results.

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
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from relayd.deliverer.attempt import Attempt, Elsewhere, is_too_much, left_alone, nowhere
from relayd.deliverer.nexthop.hosts import NextHop, NoHost, NotYet, Session
from relayd.deliverer.queue_owner import QueueClosed
from relayd.deliverer.recorder import AnsweringSite, Recorder
from relayd.deliverer.sessions import Sessions
from relayd.deliverer.settlements import facts_of
from relayd.errors import Shortage
from relayd.mail.attempt import AttemptFacts
from relayd.mail.envelope import QueuedRecipient
from relayd.mail.ids import MessageId
from relayd.mail.outcome import Deferred, NotTried, Outcome, Relayed
from relayd.mail.reply import Stage
from relayd.mail.words import format_instant
from relayd.policy.delivery.hosts import decide_no_host
from relayd.policy.delivery.route import facts_of as route_facts_of
from relayd.policy.delivery.verdict import is_too_fast
from relayd.ports.outward import Delivery
from relayd.ports.queue import Lease, Work
from relayd.trace import tracing

_SLOW_AFTER = 10.0
"""Seconds of a transaction, after which the others no longer wait for its answer to get a connection.

The server has let us in. It may take minutes for one message, and answer the next one at once.
"""
_ENOUGH = 4  # connections: so many slow messages at once are no chance


class Queue(Protocol):
    """What an attempt asks of its destination queue, and tells it."""

    lease: Lease

    @property
    def is_closing(self) -> bool:
        """It takes no more work."""
        ...

    @property
    def wanted(self) -> int:
        """How many messages are to be sent by now, with the one in hand."""
        ...

    @property
    def allowed(self) -> int:
        """How many connections there may be by now."""
        ...

    @property
    def has_others(self) -> bool:
        """There are other connections."""
        ...

    async def holds(self) -> bool:
        """Make sure that the lease is still ours."""
        ...

    def verify(self) -> None:
        """The destination has answered a transaction."""
        ...

    def widen(self) -> None:
        """A transaction takes long."""
        ...

    def drain(self, why: QueueClosed) -> None:
        """Begin no more attempts for now."""
        ...

    def close(self, why: QueueClosed | None = None) -> None:
        """Begin nothing more at all."""
        ...


class Attempts:
    """Makes the attempts of one destination queue, on several connections at a time."""

    def __init__(
        self, queue: Queue, *, hop: NextHop, sessions: Sessions, recorder: Recorder
    ) -> None:
        self._queue = queue
        self._hop = hop
        self._sessions = sessions
        self._recorder, self._pausing = recorder, recorder.pausing

    async def carry(self, work: Work, session: Session | None) -> Session | None:
        """Carry one work to its record; return the session if it is of further use."""
        content = await self._recorder.content_of(work)
        if content is None:
            return session  # an operator ended it meanwhile
        try:
            transactions = await self._recorder.transactions(work, content)
        except Shortage as lack:
            self._lack(lack)
            return session
        facts = route_facts_of(work.message)
        for transaction in transactions:
            if self._queue.is_closing:
                break  # the others go back to the store with what waits
            attempt = Attempt(
                work=work,
                message=transaction.message,
                recipients=transaction.recipients,
                content=transaction.content,
                kept=content,
                facts=facts,
                rewritten=transaction.rewritten,
            )
            if self._pausing.stamp[0] != self._pausing.seen or self._pausing.delivery:
                attempt = await self._without_paused(attempt)
            session = await self._kept(await self._carry_to(attempt, session))
        return session

    async def _carry_to(self, attempt: Attempt, session: Session | None) -> Session | None:
        """Bring the message to all recipients, in as many goes as that takes."""
        if tracing.is_on:
            tracing.begin_delivery(attempt.message, self._queue.lease, attempt.recipients)
        while attempt.recipients:
            await self._recorder.results.ready()
            before, session = session, None
            try:
                wanted = self._queue.wanted
                session = await self._sessions.open(before, attempt, wanted=wanted)
                may_send = session is not None and await self._queue.holds()  # it took long?
                if session is not None and may_send:
                    left = await self._transact(attempt, session)
                    if left is None:
                        break
                    attempt = left
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

    async def _kept(self, session: Session | None) -> Session | None:
        """Return a session for the next message; None where a host before its own has it first.

        That one heard of the recipients, and may take others. What puts mail off at MAIL takes none for now.
        """
        if session is None or not session.failures:
            return session
        if any(
            each.has_put_off and each.failed.stage is not Stage.MAIL for each in session.failures
        ):
            await self._hop.give_back(session)
            return None
        return replace(session, failures=())  # they are in the history of one attempt

    def _lack(self, lack: Shortage) -> None:
        """This machine lacks something now: leave the rest for later."""
        self._hop.turned_away()
        self._queue.drain(QueueClosed(is_shortage=True, reason=str(lack)))

    async def _without_paused(self, attempt: Attempt) -> Attempt:
        """Hand those back whose delivery a pause rule stops; nobody is left if that costs us the lease."""
        left = await self._recorder.leave_paused(attempt.work, attempt.recipients)
        if left is None:
            self._queue.close()
        elif len(left) < len(attempt.recipients) and not await self._queue.holds():
            left = None  # it took long, and they have another owner by now
        return replace(attempt, recipients=left or ())

    async def _transact(self, attempt: Attempt, session: Session) -> Attempt | None:
        """Run one transaction; return what needs another one at once, if anything does."""
        pausing = self._pausing
        if (pausing.stamp[0] != pausing.seen or pausing.delivery) and not (
            attempt := await self._without_paused(attempt)
        ).recipients:
            return attempt
        delivery = await self._deliver(attempt, session)
        if delivery.stale:
            session.connection.abort()  # HC-15: a kept connection may be gone without a sign
            return attempt
        elsewhere = nowhere if delivery.not_tried else self._elsewhere(session)
        judged = attempt.judged(delivery, elsewhere)
        rest = attempt.rest(delivery, session, elsewhere)
        broken = rest.failures[-1] if rest is not None and rest.failures else None
        if broken is not None and broken.has_ended:
            session.connection.abort()
        outcomes = await self._record(attempt, session, delivery, judged)
        if outcomes is None:  # what waits has another owner by now
            self._queue.close()
            return None
        if self._recorder.is_diverted(self._queue.lease.destination):
            self._queue.close()  # what waits goes another way from now on
        if await self._heed(judged, outcomes, attempt.message.id):
            return None
        lost_at_door = broken is not None and broken.at_door
        if lost_at_door or is_too_much(delivery.facts, judged, outcomes):
            self._hop.turned_away()
        elif all(facts.reply is not None for facts in delivery.facts):
            self._queue.verify()
        return rest

    def _elsewhere(self, session: Session) -> Elsewhere:
        """Return what tells whether another host decides (S-59).

        It may be the one before this: where that has put the mail off, a login that this one wants stops no other mail.
        """
        recorder, has_another = self._recorder, self._hop.has_another_host(session)
        if any(each.has_put_off for each in session.failures):
            return lambda facts: (
                recorder.wants_login(facts) or (has_another and recorder.is_of_the_host(facts))
            )
        return recorder.is_of_the_host if has_another else nowhere

    async def _record(
        self,
        attempt: Attempt,
        session: Session,
        delivery: Delivery,
        judged: Sequence[tuple[QueuedRecipient, AttemptFacts]],
    ) -> Sequence[Outcome] | None:
        """Record what came of a transaction, and let the next hop learn; None: the lease was lost."""
        message, facts = attempt.message.id, attempt.facts
        replies = [(each.reply, each.stage) for each in delivery.facts]
        has_another = self._hop.has_another_source(session, facts)
        is_refused = any(reply is not None and reply.is_permanent for reply, _ in replies)
        is_first = has_another and is_refused  # what is refused is tried from there at once
        if is_first:
            await self._hop.saw(session, replies, message, facts)
        outcomes: Sequence[Outcome] | None = ()
        if judged:
            outcomes = await self._recorder.record(
                attempt.work,
                judged,
                session.failures,
                better_mx_unreachable=session.better_mx_unreachable,
                site=AnsweringSite(session.site, has_another),
                content=attempt.kept,
                rewritten=attempt.rewritten,
            )
        if not is_first:
            await self._hop.saw(session, replies, message, facts)
        return outcomes

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
                    self._queue.close(QueueClosed(login_refused=True, reason=outcome.reason))
                    return True
                case Relayed() if account is not None:
                    account.took()
                    return False
                case Deferred() if account is not None and facts.reply is not None:
                    if is_too_fast(facts, outcome.category):
                        later = await account.too_fast(facts.reply, message)
                        if later is not None:
                            self._queue.drain(QueueClosed(until=later.until, reason=later.why))
                        return False
                case _:
                    pass
        return False

    async def _deliver(self, attempt: Attempt, session: Session) -> Delivery:
        slow: asyncio.TimerHandle | None = None
        if self._queue.allowed < _ENOUGH:
            slow = asyncio.get_running_loop().call_later(_SLOW_AFTER, self._queue.widen)
        try:
            return await self._sessions.deliver(attempt, session.connection)
        finally:
            if slow is not None:
                slow.cancel()

    async def _put_off(self, attempt: Attempt, later: NotYet) -> bool:
        """Leave the destination alone until then; tell whether the attempt has ended for another reason."""
        if tracing.is_on:
            tracing.tell("put_off", until=format_instant(later.until), reason=later.why)
        until = later.until
        if later.left_alone is not None:
            if await self._recorder.divert(attempt.work, later.left_alone):
                until = self._recorder.now()  # it is claimed again, and moved
            elif not later.left_alone.is_warm_up and await self._give_up(attempt, later):
                return True
        self._queue.drain(QueueClosed(until=until, reason=later.why))
        return False

    async def _give_up(self, attempt: Attempt, later: NotYet) -> bool:
        """Record that recipients are too old to wait for a site any longer; tell whether all are."""
        old = self._recorder.overdue(attempt.message, attempt.recipients)
        if old:
            facts = facts_of(
                left_alone(self._queue.lease.destination, later.why, at=self._recorder.now())
            )
            outcomes = await self._recorder.record(
                attempt.work,
                [(recipient, facts) for recipient in old],
                content=attempt.kept,
                rewritten=attempt.rewritten,
            )
            if outcomes is None:
                self._queue.close()
        return len(old) == len(attempt.recipients)

    async def _fail(self, attempt: Attempt, none: NoHost) -> None:
        """No host can be used: record that for this work, and close the queue if waiting may help.

        What a host let in and did not survive says more of the message than of the host.
        """
        decision = decide_no_host(
            none.facts, all_asked=none.all_asked, has_others=self._queue.has_others
        )
        if decision.closes:
            self._queue.close(
                QueueClosed(failures=none.failures, login_refused=decision.login_refused)
            )
        deciding = none.failures[decision.deciding]
        outcomes = await self._recorder.record(
            attempt.work,
            [(each, facts_of(deciding.met_by(each.number))) for each in attempt.recipients],
            [failure for failure in none.failures if failure is not deciding],
            better_mx_unreachable=decision.other_host_may_take_it,
            all_hosts_refuse=decision.all_hosts_refuse,
            content=attempt.kept,
            rewritten=attempt.rewritten,
        )
        if outcomes is None:
            self._queue.close()

"""The way to one destination: work that is leased, and the connections that carry it.

A connection is a task that takes one piece of work after another; the next begins only when the
last is on record, so that a crash repeats at most the open transactions. Until a connection has
proven itself only one is opened. When the destination cannot be used, the lane closes: what is
under way ends, the rest goes back to the store uncounted.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from relayd.deliverer.courier import Courier, facts_of
from relayd.deliverer.hosts import HostFailure, NextHop, NoHost, Session
from relayd.mail.attempt import AttemptFacts
from relayd.mail.envelope import QueuedRecipient, format_id
from relayd.mail.outcome import NotTried
from relayd.policy.plan import Transaction
from relayd.ports import Connection, Delivery, Lease, Work

_KEPT_FOR = 30.0  # seconds the lease of a destination is kept without work

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneClosed:
    """Why a lane gave up, for the one who opened it."""

    failures: tuple[HostFailure, ...]
    login_refused: bool


class LaneOwner(Protocol):
    """Who opened a lane."""

    def done(self, work: Work) -> None:
        """`work` is out of the lane, whatever became of it."""

    async def holds(self, lane: "Lane") -> bool:
        """Tell whether the lane's lease is still ours; else the lane is closed."""
        ...

    def proven(self, lane: "Lane") -> None:
        """The destination takes mail."""

    def closed(self, lane: "Lane", why: LaneClosed | None) -> None:
        """The lane is at its end; `why` is None when its owner closed it."""


class Lane:
    """Delivers what it is given, over up to `connections` connections, until it is closed."""

    def __init__(
        self,
        lease: Lease,
        *,
        hop: NextHop,
        courier: Courier,
        connections: int,
        tasks: asyncio.TaskGroup,
        owner: "LaneOwner",
    ) -> None:
        self.lease = lease
        self._hop = hop
        self._courier = courier
        self._limit = connections
        self._tasks = tasks
        self._owner = owner
        self._waiting: deque[Work] = deque()
        self._idle: deque[asyncio.Future[Work | None]] = deque()  # connections without work
        self._open = 0  # connection tasks
        self._proven = False
        self._closing: LaneClosed | None = None
        self._closed = False
        self._ended = False  # and its owner knows

    @property
    def is_closing(self) -> bool:
        return self._closed

    @property
    def is_proven(self) -> bool:
        """The destination has taken mail since the lane was opened."""
        return self._proven

    @property
    def waiting(self) -> int:
        """How much work no connection has taken yet."""
        return len(self._waiting)

    def put(self, work: Work) -> None:
        """Carry `work` as soon as a connection is free. A closing lane leaves it to the store."""
        if self._closed:
            self._owner.done(work)
            return
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(work)
                return
        self._waiting.append(work)
        self._grow()

    def close(self, why: LaneClosed | None = None) -> None:
        """Start nothing new; the owner is told when what is under way has ended."""
        if self._closed:
            return
        self._closed, self._closing = True, why
        while self._waiting:
            self._owner.done(self._waiting.popleft())
        for idle in self._idle:
            if not idle.done():
                idle.set_result(None)
        self._end()

    def _end(self) -> None:
        """Tell the owner, once, when the last connection has no more work."""
        if self._closed and not self._open and not self._ended:
            self._ended = True
            self._owner.closed(self, self._closing)

    def _grow(self) -> None:
        if self._open < (self._limit if self._proven else 1):
            self._open += 1
            self._tasks.create_task(self._carry())

    async def _carry(self) -> None:
        """Be one connection: open it with the first work, carry on until there is none."""
        session: Session | None = None
        try:
            while (work := await self._next()) is not None:
                session = await self._attend(work, session)
        finally:
            self._open -= 1
            if session is not None:
                await self._hop.give_back(session)
        self._end()
        if self._closed:
            return
        if self._waiting:
            self._grow()
        elif not self._open and not self._hop.lingers:
            asyncio.get_running_loop().call_later(_KEPT_FOR, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """Hand the slot of a destination back that has nothing more for us."""
        if not self._open and not self._waiting:
            self.close()

    async def _next(self) -> Work | None:
        """Take the next work, waiting a while for it; None: leave."""
        if self._waiting:
            return self._waiting.popleft()
        if self._closed or not self._hop.lingers:
            return None
        idle: asyncio.Future[Work | None] = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        timer = idle.get_loop().call_later(self._hop.lingers, _give_up, idle)
        try:
            return await idle
        finally:
            timer.cancel()

    async def _attend(self, work: Work, session: Session | None) -> Session | None:
        """Carry one work to its record; return the session if it is of further use."""
        try:
            content = await self._courier.content_of(work)
            if content is None:
                return session  # an operator ended it meanwhile
            await self._courier.ready()
            for transaction in self._courier.transactions(work):
                if self._closed:
                    break  # the others go back to the store with what waits
                session = await self._carry_to(work, transaction, content, session)
            return session
        finally:
            self._owner.done(work)

    async def _carry_to(
        self,
        work: Work,
        transaction: Transaction,
        content: bytes,
        session: Session | None,
    ) -> Session | None:
        """Bring the message to all recipients, in as many goes as that takes."""
        while transaction.recipients:
            try:
                session = await self._session(session)
            except NoHost as none:
                await self._fail(work, transaction.recipients, content, none)
                return None
            if not await self._owner.holds(self):
                break  # it may have taken long to get here
            left = await self._transact(work, transaction, content, session)
            transaction = Transaction(transaction.message, left)
        return session

    async def _session(self, session: Session | None) -> Session:
        """Return the session to go on with: the one there is, or another one."""
        if session is None:
            return await self._hop.connect()
        if self._hop.keeps(session):
            return replace(session, failures=())  # those are in the history of one message
        await self._hop.give_back(session)
        return await self._hop.connect()

    async def _transact(
        self,
        work: Work,
        transaction: Transaction,
        content: bytes,
        session: Session,
    ) -> list[QueuedRecipient]:
        """Run one transaction; return the recipients that need another one at once."""
        connection, recipients = session.connection, transaction.recipients
        delivery = await self._deliver(transaction, content, connection)
        if delivery.stale:
            connection.abort()  # HC-15: a kept connection may be gone without a sign
            return recipients
        facts = [
            (recipient, delivery.facts[index])
            for index, recipient in enumerate(recipients)
            if index not in delivery.not_tried
        ]
        outcomes = await self._courier.record(
            work,
            facts,
            session.failures,
            outranked=session.outranked,
            content=content,
        )
        if outcomes is None:  # what waits has another owner by now
            self.close()
            return []
        if any(isinstance(outcome, NotTried) for outcome in outcomes):
            self.close(LaneClosed(failures=(), login_refused=True))
            return []
        self._prove(delivery)
        return [recipients[index] for index in delivery.not_tried]

    async def _deliver(
        self, transaction: Transaction, content: bytes, connection: Connection
    ) -> Delivery:
        """Run one transaction; a bug that one message trips over must not stop the others."""
        try:
            return await connection.deliver(transaction.message, transaction.recipients, content)
        except Exception:
            queue_id = format_id(transaction.message.id)
            log.exception("attempt_failed", queue_id=queue_id, fault="local")
            connection.abort()
            mishap = self._courier.mishap(connection.peer)
            return Delivery(facts=(mishap,) * len(transaction.recipients))

    def _prove(self, delivery: Delivery) -> None:
        """The destination takes mail: use as many connections as there is work for."""
        if not self._proven and all(map(_is_answer, delivery.facts)):
            self._proven = True
            self._owner.proven(self)
            for _ in self._waiting:
                self._grow()

    async def _fail(
        self, work: Work, recipients: list[QueuedRecipient], content: bytes, none: NoHost
    ) -> None:
        """No host can be used: record that for this work, and close the lane if waiting may help."""
        refusals = [failure for failure in none.failures if failure.failed.login_refused]
        deciding = (refusals or none.failures)[-1]
        if not (none.is_final or none.is_unanimous):
            self.close(LaneClosed(failures=none.failures, login_refused=bool(refusals)))
        facts = [(recipient, facts_of(deciding)) for recipient in recipients]
        others = [failure for failure in none.failures if failure is not deciding]
        await self._courier.record(
            work, facts, others, unanimous=none.is_unanimous, content=content
        )


def _is_answer(facts: AttemptFacts) -> bool:
    """Tell whether the server has dealt with the mail; with 421 it turns away whoever comes."""
    return facts.reply is not None and facts.reply.code != 421


def _give_up(idle: "asyncio.Future[Work | None]") -> None:
    if not idle.done():
        idle.set_result(None)

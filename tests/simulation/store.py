"""The queue in memory as one worker has it: verbs take their time, fail, or are carried out though nobody hears it.

The tables are those of all workers. What a verb does is done by the memory store, in one go; the oracle looks at the tables
behind it.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from relayd.errors import CommitUnknown, StoreError, StoreUnavailable
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, Registration, WorkerIdentity, WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import NotTried, may_repeat
from relayd.mail.pause import Named, PauseRule, Side
from relayd.ports.queue import Acted, Batch, Lease, ReportGivenUp, Settlement, Work
from relayd.ports.view import Query
from relayd.store.memory.permits import MemoryPermits
from relayd.store.memory.queue import MemoryStore
from relayd.store.permits import Answer, Change

if TYPE_CHECKING:
    from tests.simulation.worker import Worker
    from tests.simulation.world import World

T = TypeVar("T")
_Who = tuple[int, int, int | None]
_LINES = {"enqueue": 1, "settle": 2, "extend": 3, "reap": 3}
"""Verbs that go by a connection of their own to a store behind a network; on each, one comes after the other."""


class WorkerStore(MemoryStore):
    """`relayd.ports.queue.QueueStore` over the tables of `shared`."""

    def __init__(self, shared: MemoryStore, world: "World", worker: "Worker") -> None:
        self.__dict__.update(vars(shared))
        self._shared = shared
        self._world = world
        self._worker = worker
        self._told: dict[_Who, Settlement] = {}  # written, and nobody knows
        # Of each line: until when what was asked is on its way, and what is answered.
        self._asked, self._answered = [0.0] * 4, [0.0] * 4
        self._waiting = [0] * 4  # what is on its way there
        self.sent = 0  # of that, what is carried out though its worker dies

    @property
    def permits(self) -> MemoryPermits:
        return _Permits(self)

    @property
    def is_busy(self) -> bool:
        """Tell whether something is on its way there: the clock is not set in between."""
        return any(self._waiting)

    # --- how a verb is carried out -----------------------------------------------------------

    def submit(
        self,
        verb: str,
        work: Callable[[], T],
        *,
        unheard: Callable[[T], None] | None = None,
        unknown: Callable[[], object] | None = None,
    ) -> "asyncio.Future[T]":
        """Carry out `work` a little later; the future tells what came of it a little later still.

        When nobody hears of it, `unheard` gets what it gave; `unknown` takes the place of `work` then.
        """
        world, process = self._world, self._worker.process
        future: asyncio.Future[T] = world.loop.create_future()
        # Who registers promises that earlier workers are dead; so none may come late.
        is_sent = world.schedule.is_networked and verb != "register"
        line = _LINES.get(verb, 0) if world.schedule.is_networked else 0

        def carry_out() -> None:
            self._waiting[line] -= 1
            self.sent -= is_sent
            if world.dies_at(f"{verb} before", self._worker) or not (process.is_alive or is_sent):
                return
            fault = world.fault(verb, self._worker)
            world.note(self._worker.name, verb, fault)
            answer = _outcome(fault, work, unheard, unknown)
            if not world.dies_at(f"{verb} after", self._worker):
                self._tell(line, future, answer)

        if process.is_alive:  # else these are its last steps
            now = world.loop.time()
            at = self._asked[line] = max(now + world.delay(), self._asked[line])
            self._waiting[line] += 1
            self.sent += is_sent
            if at > now or self._waiting[line] > 1 or is_sent:
                world.loop.call_in_at(world.outside if is_sent else process, at, carry_out)
            else:
                carry_out()
        return future

    def _tell(self, line: int, future: "asyncio.Future[T]", answer: T | StoreError) -> None:
        loop, before = self._world.loop, self._answered[line]
        now = loop.time()
        at = self._answered[line] = max(now + self._world.delay(), before)
        if before < at == now:  # nothing else is on its way
            loop.call_in(self._worker.process, _set, future, answer)
        else:
            loop.call_in_at(self._worker.process, at, _set, future, answer)

    # --- verbs -------------------------------------------------------------------------------

    async def register(self, worker: WorkerIdentity) -> Registration:
        def work() -> Registration:
            given = _now(self._shared.register(worker))
            self._world.oracle.look("register", self._worker)
            return given

        return await self.submit("register", work)

    async def leave(self, worker: WorkerNumber) -> None:
        await self.submit("leave", lambda: _now(self._shared.leave(worker)))

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        oracle = self._world.oracle

        def work(lease_for: timedelta | None) -> Sequence[Work]:
            works = self._shared.enqueue(message, worker=worker, lease_for=lease_for).result()
            oracle.granted(self._worker, works)
            oracle.look("enqueue", self._worker)
            return works

        return self.submit("enqueue", partial(work, lease_for), unknown=partial(work, None))

    async def claim(
        self,
        worker: WorkerNumber,
        *,
        limit: int,
        lease_for: timedelta,
        each: int | None = None,
        but: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Sequence[Work]:
        oracle = self._world.oracle

        def work() -> Sequence[Work]:
            works = _now(
                self._shared.claim(
                    worker, limit=limit, lease_for=lease_for, each=each, but=but, only=only
                )
            )
            if works:
                oracle.granted(self._worker, works)
                oracle.look("claim", self._worker)
            return works

        def hand_back(works: Sequence[Work]) -> None:
            for given in works:
                oracle.handed_back(given)
                back = [_not_tried(given, one.number, one.attempt) for one in given.recipients]
                self._shared.settle(given.lease, back).result()
            oracle.look("claim", self._worker)

        return await self.submit("claim", work, unheard=hand_back)

    async def extend(
        self, leases: Sequence[Lease], *, worker: WorkerNumber, lease_for: timedelta
    ) -> Sequence[Lease]:
        def work() -> Sequence[Lease]:
            lost = _now(self._shared.extend(leases, worker=worker, lease_for=lease_for))
            self._worker.renewed_at = self._world.loop.time()
            if lost:
                self._world.hop.excuse(self._worker)
            self._world.oracle.extended([each for each in leases if each not in lost])
            return lost

        return await self.submit("extend", work)

    def settle(
        self,
        lease: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> "asyncio.Future[Sequence[Settlement]]":
        oracle = self._world.oracle

        def work() -> Sequence[Settlement]:
            known = [one for one in map(self._told.get, map(_who, settlements)) if one is not None]
            if known and len(known) == len(settlements):
                return known
            written = self._shared.settle(lease, settlements, reports).result()
            oracle.settled(self._worker, lease, written)
            oracle.look("settle", self._worker)
            return [*known, *written]

        def remember(written: Sequence[Settlement]) -> None:
            # The next attempt of what was not tried has the same number: that is no repetition.
            self._told.update({_who(each): each for each in written if may_repeat(each.outcome)})

        return self.submit("settle", work, unheard=remember)

    async def release(
        self, lease: Lease, *, paused_until: datetime | None = None, why: str = ""
    ) -> None:
        def work() -> None:
            _now(self._shared.release(lease, paused_until=paused_until, why=why))
            self._world.oracle.look("release", self._worker, lease)

        await self.submit("release", work)

    async def remark(self, lease: Lease, why: str) -> None:
        await self.submit("remark", lambda: _now(self._shared.remark(lease, why)))

    async def resume(self, destination: str) -> None:
        await self.submit("resume", lambda: _now(self._shared.resume(destination)))

    async def content(self, message_id: MessageId) -> Content | None:
        return await self.submit("content", lambda: _now(self._shared.content(message_id)))

    async def reap(self) -> int:
        def work() -> int:
            freed = _now(self._shared.reap())
            if freed:
                self._world.oracle.look("reap", self._worker)
            return freed

        return await self.submit("reap", work)

    async def act(
        self,
        selector: Query,
        action: Action,
        *,
        by: str,
        reason: str,
        report: ReportGivenUp | None = None,
        batch: Batch | None = None,
    ) -> Acted:
        def work() -> Acted:
            acted = _now(
                self._shared.act(selector, action, by=by, reason=reason, report=report, batch=batch)
            )
            self._world.oracle.look("act", self._worker)
            return acted

        return await self.submit("act", work)

    async def pause(self, rules: Sequence[PauseRule]) -> Sequence[PauseRule]:
        return await self.submit("pause", lambda: _now(self._shared.pause(rules)))

    async def unpause(
        self, wanted: Collection[int | Named] | None, sides: Collection[Side]
    ) -> Sequence[PauseRule]:
        return await self.submit("unpause", lambda: _now(self._shared.unpause(wanted, sides)))


class _Permits(MemoryPermits):
    """Permits as one worker books them."""

    def __init__(self, store: WorkerStore) -> None:
        super().__init__(store._tables, store._clock)
        self._store = store

    async def _changed(self, account: str, change: "Change[Answer]", /) -> Answer:
        return await self._store.submit(
            "permits", lambda: _now(super(_Permits, self)._changed(account, change))
        )


def _now(verb: Coroutine[Any, Any, T]) -> T:
    """Carry out a verb of the memory store, which waits for nothing."""
    try:
        verb.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


def _outcome(
    fault: str,
    work: Callable[[], T],
    unheard: Callable[[T], None] | None,
    unknown: Callable[[], object] | None,
) -> T | StoreError:
    """Carry out what a verb does, as far as its fault lets it; return what its caller is told."""
    lost = CommitUnknown("the connection was lost in the commit")
    if fault == "refused":
        return StoreUnavailable("the store is away")
    if fault == "not done":
        return lost
    try:
        if fault == "done" and unknown is not None:
            unknown()
            return lost
        result = work()
    except StoreError as error:
        return error
    if fault == "done":
        if unheard is not None:
            unheard(result)
        return lost
    return result


def _set(future: "asyncio.Future[Any]", answer: object) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(answer, StoreError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _who(settlement: Settlement) -> _Who:
    return settlement.message_id, settlement.recipient, settlement.attempt


def _not_tried(work: Work, recipient: int, attempt: int) -> Settlement:
    return Settlement(
        message_id=work.message.id,
        recipient=recipient,
        outcome=NotTried(reason="nobody knows of the lease"),
        events=(),
        attempt=attempt,
    )

"""A store that fails, or waits, when a test wants it to."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from relayd.errors import CommitUnknown, StoreError, StoreUnavailable
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, WorkerNumber
from relayd.policy.verp import VerpToken
from relayd.ports.queue import LateNotice, Lease, Settlement, Work
from relayd.store.memory.queue import MemoryStore
from tests.support.clock import FakeClock

NEVER = 1_000_000


class FaultyStore(MemoryStore):
    """The store in memory; `fail` and `hold` name the verb and, counted from now, which calls."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.calls: Counter[str] = Counter()
        self._faults: dict[str, tuple[int, int, StoreError]] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._done_all_the_same: set[str] = set()

    def fail(
        self, verb: str, *, nth: int = 1, times: int = NEVER, error: StoreError | None = None
    ) -> None:
        """Let `times` calls of `verb` fail, beginning with the `nth`; nothing is written then."""
        first = self.calls[verb] + nth
        error = error or StoreUnavailable("the disk is on fire")
        self._faults[verb] = (first, first + times, error)

    def forget_answer(self, verb: str) -> None:
        """Let the next call of `verb` do its work, and nobody know: CommitUnknown.

        As `relayd.ports.queue` wants it, what the commit leased is handed back by the store.
        """
        self.fail(verb, times=1, error=CommitUnknown("the connection was lost"))
        self._done_all_the_same.add(verb)

    def heal(self, verb: str) -> None:
        self._faults.pop(verb, None)

    def hold(self, verb: str) -> asyncio.Event:
        """Let calls of `verb` wait, before they do anything, for the event that this returns."""
        gate = self._gates[verb] = asyncio.Event()
        return gate

    def _fault(self, verb: str) -> StoreError | None:
        self.calls[verb] += 1
        first, end, error = self._faults.get(verb, (0, 0, None))
        return error if first <= self.calls[verb] < end else None

    async def _pass(self, verb: str) -> None:
        error = self._fault(verb)
        if verb in self._gates:
            await self._gates[verb].wait()
        if error is not None:
            raise error

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        if (error := self._fault("enqueue")) is not None:
            if "enqueue" in self._done_all_the_same:
                super().enqueue(message, worker=worker, lease_for=None)
            return _failed(error)
        return super().enqueue(message, worker=worker, lease_for=lease_for)

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
        await self._pass("claim")
        return await super().claim(
            worker, limit=limit, lease_for=lease_for, each=each, but=but, only=only
        )

    async def extend(
        self, leases: Sequence[Lease], *, worker: WorkerNumber, lease_for: timedelta
    ) -> Sequence[Lease]:
        await self._pass("extend")
        return await super().extend(leases, worker=worker, lease_for=lease_for)

    def settle(
        self,
        lease: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> "asyncio.Future[Sequence[Settlement]]":
        if (error := self._fault("settle")) is not None:
            if "settle" in self._done_all_the_same:
                super().settle(lease, settlements, reports)
            return _failed(error)
        return super().settle(lease, settlements, reports)

    def note_late(
        self, path: VerpToken, notice: LateNotice | None, copy: NewMessage
    ) -> "asyncio.Future[LateNotice | None]":
        if (error := self._fault("note_late")) is not None:
            return _failed(error)
        return super().note_late(path, notice, copy)

    async def release(
        self, lease: Lease, *, paused_until: datetime | None = None, why: str = ""
    ) -> None:
        await self._pass("release")
        await super().release(lease, paused_until=paused_until, why=why)

    async def remark(self, lease: Lease, why: str) -> None:
        await self._pass("remark")
        await super().remark(lease, why)

    async def content(self, message_id: MessageId) -> Content | None:
        await self._pass("content")
        return await super().content(message_id)


def _failed(error: StoreError) -> "asyncio.Future[Any]":
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future

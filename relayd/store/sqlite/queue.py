"""The workers' verbs on SQLite. Each is one operation in the writer's transaction.

Guards: `settle` touches a recipient only while it is leased under the lease that it names, and
every change of state follows `TRANSITIONS`.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

import apsw

from relayd.errors import StoreFull, StoreUnavailable
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, Registration, WorkerIdentity, WorkerNumber
from relayd.mail.operator import Action, Operator, ReadBy
from relayd.mail.pause import Named, PauseRule, Side
from relayd.mail.suppression import ToSuppress
from relayd.policy.delivery.retry import LastRetry
from relayd.policy.verp import KEY_OCTETS, VerpToken
from relayd.ports.outward import Clock
from relayd.ports.queue import (
    Acted,
    Batch,
    ContentRead,
    Foreseen,
    LateNotice,
    Lease,
    ReportGivenUp,
    Settlement,
    Spool,
    Work,
)
from relayd.ports.requeue import Requeue, Requeued
from relayd.ports.schema import Migrated
from relayd.ports.upkeep import TALLIED_AT_ONCE, Compacted, LetGo
from relayd.ports.view import Query
from relayd.store.disk import Disk
from relayd.store.permits import Answer, Change, StoredPermits
from relayd.store.spool import SpoolDirectory
from relayd.store.sqlite import (
    claims,
    compacting,
    content_read,
    destinations,
    leases,
    messages,
    once,
    operators,
    outcomes,
    pausing,
    permits,
    purging,
    requeue,
    returned,
    shares,
    suppression,
    tally_upkeep,
    tallying,
    values,
    workers,
)
from relayd.store.sqlite.age import Age
from relayd.store.sqlite.arrivals import Arrivals
from relayd.store.sqlite.connection import Upgrading, prepare
from relayd.store.sqlite.outbox import SqliteOutbox
from relayd.store.sqlite.people import SqlitePeople
from relayd.store.sqlite.reading import Reader, in_thread
from relayd.store.sqlite.shares import SqliteShares
from relayd.store.sqlite.sites import SqliteSites
from relayd.store.sqlite.trust import SqliteTrust
from relayd.store.sqlite.unused import Unused
from relayd.store.sqlite.writer import Writer

_LOOKS = 100  # transactions in which a claim looks for what no pause rule stops, before it may be asked again


class SqliteStore:
    """`relayd.ports.queue.QueueStore` on one SQLite file, shared by the processes of one machine."""

    def __init__(
        self,
        path: str,
        *,
        clock: Clock,
        slots: Mapping[str, int],
        on_commit: Callable[[float], None] | None = None,
        keeps_bounced: bool = False,
    ) -> None:
        self._path = path
        self._clock = clock
        self._keeps_bounced = keeps_bounced
        self._slots = slots
        self._age = Age(clock)
        self._unused = Unused(clock)
        self._writer = Writer(path, clock=clock, on_commit=on_commit, first=self._begin)
        self._writer.provide("served", self._age.served)
        self._files = SpoolDirectory(path)
        self._arrivals = Arrivals(self._writer, self._files)
        self._disk = Disk(path, unused=lambda: self._unused.octets)
        self._reader = Reader(path)
        self.people = SqlitePeople(self._writer, self._reader, clock)
        self.permits = StoredPermits(self._change_account)
        self.shares = SqliteShares(self._writer, lambda: self._term().at)
        self.sites = SqliteSites(self._writer, self._reader, clock)
        self.trust = SqliteTrust(self._writer, self._reader, clock)
        self.samples = None
        self.outbox = SqliteOutbox(self._writer, self._reader, clock=clock, served=self._age.served)

    def _begin(self, db: apsw.Connection) -> None:
        self._age.keep_up(db)
        self._unused.look(db)

    @classmethod
    def open(
        cls,
        path: str,
        *,
        clock: Clock,
        slots: Mapping[str, int],
        on_commit: Callable[[float], None] | None = None,
        keeps_bounced: bool = False,
        upgrading: Upgrading | None = None,
    ) -> Self:
        """Open the queue at `path`, creating or migrating it first.

        `slots` says how many slots a destination has, 1 where it does not. With `keeps_bounced` the content of
        what bounces is kept until `let_go`. `upgrading` is told of each step of a migration. Raises
        StoreUnavailable, SchemaMismatch.
        """
        prepare(path, upgrading)
        return cls(path, clock=clock, slots=slots, on_commit=on_commit, keeps_bounced=keeps_bounced)

    async def close(self) -> None:
        """Finish what was begun; the last process checkpoints the whole WAL.

        That takes a connection that may write, so the other one goes first.
        """
        await self._reader.close()
        try:
            await in_thread(self._writer.close)
        except StoreUnavailable:
            self._writer.close()

    async def register(self, worker: WorkerIdentity) -> Registration:
        at, now = self._clock.now(), self._now()

        def operation(db: apsw.Connection) -> Registration:
            workers.check_served(db)
            self._age.begin(db, is_first=workers.is_first(db, worker))
            workers.remove_dead(db, worker, now=now)
            destinations.end_pauses(db, now=now)
            return workers.add(db, worker, at=at)

        return await self._writer.submit(operation)

    async def leave(self, worker: WorkerNumber) -> None:
        await self._writer.submit(lambda db: shares.forget(db, worker))

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        now = self._now()
        if message.is_held:
            lease_for = None

        def operation(db: apsw.Connection) -> Sequence[Work]:
            if message.once is not None:
                once.write(db, message.once, message.id)
            if lease_for is None:
                messages.insert(db, message, {})
                return []
            term = self._term(lease_for)
            taken = claims.for_new(db, message, worker, widths=self._slots, now=now, term=term)
            messages.insert(db, message, taken)
            return claims.work_of_new(message, taken)

        return self._arrivals.store(message, operation)

    def has_room(self) -> bool:
        return self._disk.has_room(self._clock.monotonic())

    def spool(self) -> Spool:
        return self._files.new(self._has_room_for_files)

    def _has_room_for_files(self) -> bool:
        return self._disk.has_room_for_files(self._clock.monotonic())

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
        now = self._now()
        wanted = claims.Wanted(limit=limit, each=each, but=but, only=only)
        for _ in range(_LOOKS):
            work, is_all = await self._writer.submit(
                lambda db: claims.claim(
                    db, worker, wanted, widths=self._slots, now=now, term=self._term(lease_for)
                )
            )
            if work or is_all:
                return work
        return ()

    def next_due(self) -> float | None:
        return None  # a look costs next to nothing

    async def extend(
        self, held: Sequence[Lease], *, worker: WorkerNumber, lease_for: timedelta
    ) -> Sequence[Lease]:
        return await self._writer.submit(
            lambda db: leases.extend(db, held, worker=worker, until=self._term(lease_for).until)
        )

    def settle(
        self,
        lease: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> "asyncio.Future[Sequence[Settlement]]":
        now = self._now()
        files: list[MessageId] = []

        def operation(db: apsw.Connection) -> Sequence[Settlement]:
            written = outcomes.settle_all(
                db, lease, settlements, now=now, keeps=self._keeps_bounced
            )
            # Not `extend`: it runs again, alone, when its turn was rolled back.
            files[:] = outcomes.drop_content(db, {each.message_id for each in settlements})
            for report in reports if written else ():
                messages.insert(db, report, {}, is_returned=True)
            return written

        settled = self._writer.submit(operation)
        settled.add_done_callback(partial(self._remove, files))
        return settled

    def _remove(self, files: Collection[MessageId], done: "asyncio.Future[Any]") -> None:
        """Remove the files of content that is dropped for good; what did not happen removes none."""
        if files and not done.cancelled() and done.exception() is None:
            self._files.remove(files)

    async def release(
        self, lease: Lease, *, paused_until: datetime | None = None, why: str = ""
    ) -> None:
        now = self._now()

        def operation(db: apsw.Connection) -> None:
            if leases.holds(db, lease):
                leases.hand_back(db, lease.slot, now=now)
                if paused_until is not None:
                    destinations.pause(db, lease.destination, values.to_ms(paused_until), why=why)

        await self._writer.submit(operation)

    async def remark(self, lease: Lease, why: str) -> None:
        now = self._now()

        def operation(db: apsw.Connection) -> None:
            if leases.holds(db, lease):
                destinations.remark(db, lease.destination, why, now=now)

        await self._writer.submit(operation)

    async def resume(self, destination: str) -> None:
        def operation(db: apsw.Connection) -> None:
            if destinations.paused_until(db, destination):
                destinations.pause(db, destination, 0)

        await self._writer.submit(operation)

    async def reap(self) -> int:
        now = self._now()

        def operation(db: apsw.Connection) -> int:
            self._age.watch(db)
            shares.forget_ended(db, at=self._term().at)
            permits.forget_idle(db, now=self._clock.now().timestamp())
            return leases.abandon_ended(db, at=self._term().at, now=now)

        return await self._writer.submit(operation)

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
        part = batch or Batch()
        operator = Operator(action, by, reason, self._clock.now())
        files: list[MessageId] = []

        def operation(db: apsw.Connection) -> Acted:
            acted, dropped = operators.act(
                db, selector, operator, report=report, batch=part, keeps=self._keeps_bounced
            )
            for each in acted.reports:
                messages.insert(db, each, {}, is_returned=True)
            files[:] = dropped
            return acted

        acting = self._writer.submit(operation)
        acting.add_done_callback(partial(self._remove, files))
        return await acting

    async def requeue(
        self, selector: Query, how: Requeue, *, batch: Batch | None = None, dry_run: bool = False
    ) -> Requeued:
        if dry_run:
            return await self._reader.ask(lambda db: requeue.foresee(db, selector, how, batch))
        if not self.has_room():
            raise StoreFull("no room left for new messages")
        part = batch or Batch()
        return await self._writer.submit(
            lambda db: requeue.requeue(db, self._files, selector, how, part)
        )

    async def let_go(self, before: datetime) -> LetGo:
        limit = None if self._disk.is_short(self._clock.monotonic()) else values.to_ms(before)
        if not await self._reader.ask(lambda db: purging.has_kept(db, limit)):
            return LetGo()
        files: list[MessageId] = []

        def operation(db: apsw.Connection) -> LetGo:
            gone, files[:] = purging.let_go(db, limit)
            return gone

        letting_go = self._writer.submit(operation)
        letting_go.add_done_callback(partial(self._remove, files))
        return await letting_go

    async def foresee(
        self, selector: Query, action: Action, *, last: LastRetry, batch: Batch | None = None
    ) -> Foreseen:
        def read(db: apsw.Connection) -> Foreseen:
            served = self._age.served()
            if batch is None:
                return operators.foresee(db, selector, action, last=last, served=served)
            return operators.name(db, selector, action, batch, last=last, served=served)

        return await self._reader.ask(read)

    def note_late(
        self, path: VerpToken, notice: LateNotice | None, copy: NewMessage
    ) -> "asyncio.Future[LateNotice | None]":
        now = self._now()

        def operation(db: apsw.Connection) -> LateNotice | None:
            returned.count(db, path, now=now)
            messages.insert(db, copy, {}, is_returned=True)
            known = notice is not None and outcomes.note_late(db, notice, now=now)
            return notice if known else None

        return self._arrivals.store(copy, operation)

    async def secret(self) -> bytes:
        def operation(db: apsw.Connection) -> bytes:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('secret', randomblob(?))", (KEY_OCTETS,))
            return bytes(db.execute("SELECT value FROM meta WHERE key = 'secret'").get)

        return await self._writer.submit(operation)

    async def suppress(self, wanted: Sequence[ToSuppress], *, by: str) -> Sequence[bool]:
        at = self._clock.now()
        return await self._writer.submit(lambda db: suppression.suppress(db, wanted, by=by, at=at))

    async def unsuppress(self, address: str) -> bool:
        return await self._writer.submit(lambda db: suppression.unsuppress(db, address))

    async def pause(self, rules: Sequence[PauseRule]) -> Sequence[PauseRule]:
        return await self._writer.submit(lambda db: [pausing.add(db, rule) for rule in rules])

    async def unpause(
        self, wanted: Collection[int | Named] | None, sides: Collection[Side]
    ) -> Sequence[PauseRule]:
        return await self._writer.submit(lambda db: pausing.end(db, wanted, sides))

    async def purge(self, older_than: datetime) -> int:
        await self._count(least=1, most=TALLIED_AT_ONCE)  # what is not counted is not deleted
        purged = await self._writer.submit(lambda db: purging.purge(db, older_than))
        if not purged:
            now = self._clock.monotonic()
            await self._reader.ask(lambda db: purging.sweep(db, self._files, now=now))
        return purged

    async def forget_keys(self) -> int:
        return await self._writer.submit(once.forget)

    async def compact(self, older_than: datetime) -> Compacted:
        await self._count(least=1, most=TALLIED_AT_ONCE)  # as in `purge`

        def operation(db: apsw.Connection) -> Compacted:
            self._writer.checkpoint_soon()
            return compacting.step(db, older_than, self._path, monotonic=self._clock.monotonic)

        return await self._writer.submit(operation)

    async def migrate(self) -> Migrated:
        return Migrated()  # one relayd at a time has it

    async def tally_up(self, at_once: int = TALLIED_AT_ONCE) -> bool:
        if await self._count(least=at_once, most=at_once):
            return True
        now = self._now()
        step = await self._reader.ask(lambda db: tally_upkeep.untidy(db, now))
        if step is not None:
            await self._writer.submit(lambda db: tally_upkeep.tidy(db, step))
        return step is not None

    async def _count(self, *, least: int, most: int) -> bool:
        now = self._now()
        counted = await self._reader.ask(lambda db: tallying.batch(db, least=least, most=most))
        if counted is not None:
            await self._writer.submit(lambda db: tallying.add(db, counted, now=now))
        return counted is not None

    async def content(self, message_id: MessageId) -> Content | None:
        return await self._reader.ask(
            lambda db: messages.content(db, self._files.content_of, message_id)
        )

    async def read(
        self, message_id: MessageId, *, by: str, reason: str, of: str | None = None
    ) -> ContentRead | None:
        reader = ReadBy(by, reason, self._clock.now())
        return await self._writer.submit(
            lambda db: content_read.read(db, self._files, message_id, reader, of=of)
        )

    async def _change_account(self, account: str, change: "Change[Answer]", /) -> Answer:
        return await self._writer.submit(
            lambda db: permits.change(db, account, change, now=self._clock.now().timestamp())
        )

    def _term(self, lease_for: timedelta = timedelta()) -> leases.Term:
        """Count from the present: an operation may have waited long for its turn."""
        at = int(self._clock.monotonic() * 1000)
        return leases.Term(at, at + lease_for // timedelta(milliseconds=1))

    def _now(self) -> int:
        return values.to_ms(self._clock.now())

"""The workers' verbs on SQLite. Each is one operation in the writer's transaction.

Guards: `settle` touches a recipient only while it is leased under the lease that it names, and
every change of state follows `TRANSITIONS`.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self, TypeVar

import apsw

from relayd.errors import CommitUnknown, LeaseLost, StoreUnavailable
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import (
    MessageId,
    Registration,
    WorkerIdentity,
    WorkerNumber,
    first_id_at,
)
from relayd.policy.verp import VerpToken
from relayd.ports.outward import Clock
from relayd.ports.queue import (
    Acted,
    Action,
    LateNotice,
    Lease,
    ReportGivenUp,
    Settlement,
    Spool,
    Work,
)
from relayd.ports.view import Query
from relayd.store.sqlite import (
    leases,
    messages,
    operators,
    outcomes,
    returned,
    suppression,
    values,
    workers,
)
from relayd.store.sqlite.age import Age
from relayd.store.sqlite.connection import open_reader, prepare, translate
from relayd.store.sqlite.disk import Disk
from relayd.store.sqlite.spool import FileContent, SpoolDirectory
from relayd.store.sqlite.writer import Writer

T = TypeVar("T")

_PURGE_AT_ONCE = 2000  # messages deleted in one transaction


class SqliteStore:
    """`relayd.ports.queue.QueueStore` on one SQLite file, shared by the processes of one machine."""

    def __init__(
        self,
        path: str,
        *,
        clock: Clock,
        slots: Mapping[str, int],
        on_commit: Callable[[float], None] | None = None,
    ) -> None:
        self._clock = clock
        self._slots = slots
        self._age = Age(clock)
        self._writer = Writer(path, clock=clock, on_commit=on_commit, first=self._age.keep_up)
        self._writer.provide("served", self._age.served)
        self._files = SpoolDirectory(path)
        self._disk = Disk(path)
        self._reader = open_reader(path)
        self._reading = asyncio.Lock()

    @classmethod
    def open(
        cls,
        path: str,
        *,
        clock: Clock,
        slots: Mapping[str, int],
        on_commit: Callable[[float], None] | None = None,
    ) -> Self:
        """Open the queue at `path`, creating or migrating it first.

        `slots` says how many slots a destination has, 1 where it does not.
        Raises StoreUnavailable, SchemaMismatch.
        """
        prepare(path)
        return cls(path, clock=clock, slots=slots, on_commit=on_commit)

    async def close(self) -> None:
        """Finish what was begun; whoever is last brings all of the log into the file.

        That takes a connection that may write, so the other one goes first.
        """
        async with self._reading:
            self._reader.close()
        try:
            await _in_thread(self._writer.close)
        except StoreUnavailable:
            self._writer.close()

    async def register(self, worker: WorkerIdentity) -> Registration:
        at, now = self._clock.now(), self._now()

        def operation(db: apsw.Connection) -> Registration:
            self._age.begin(db, is_first=workers.is_first(db, worker))
            workers.remove_dead(db, worker, now=now)
            leases.end_pauses(db, now=now)
            return workers.add(db, worker, at=at)

        return await self._writer.submit(operation)

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        now = self._now()
        if message.is_held:
            lease_for = None

        def operation(db: apsw.Connection) -> Sequence[Work]:
            taken: dict[str, Lease | None] = {}
            for recipient in message.recipients:
                if (where := recipient.destination) not in taken:
                    taken[where] = self._born_lease(db, where, worker, lease_for, now)
            messages.insert_message(db, message)
            for number, recipient in enumerate(message.recipients):
                messages.insert_recipient(db, message, number, taken[recipient.destination])
            messages.record_first(db, message)
            return messages.born_work(message, taken)

        return self._store(message, operation)

    def has_room(self) -> bool:
        return self._disk.has_room(self._clock.monotonic())

    def spool(self) -> Spool:
        return self._files.new(self.has_room)

    def _store(
        self, message: NewMessage, operation: Callable[[apsw.Connection], T]
    ) -> "asyncio.Future[T]":
        """Run the operation that inserts `message`; a content file is durable before it begins.

        The future is the writer's own: it is done before those of what was submitted behind it.
        """
        content = message.content
        if not isinstance(content, FileContent):
            return self._writer.submit(operation, is_patient=False)
        stored: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        stored.add_done_callback(partial(_drop_unwanted, content))
        asyncio.ensure_future(self._store_with_file(content, message.id, operation, stored))  # noqa: RUF006 -- its thread keeps it
        return stored

    async def _store_with_file(
        self,
        content: FileContent,
        message_id: MessageId,
        operation: Callable[[apsw.Connection], T],
        stored: "asyncio.Future[T]",
    ) -> None:
        try:
            await _in_thread(self._files.keep, content, message_id)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the one who asked is told
            stored.set_exception(exc)
        else:
            self._writer.submit(operation, stored, is_patient=False)

    def _born_lease(
        self,
        db: apsw.Connection,
        destination: str,
        worker: WorkerNumber,
        lease_for: timedelta | None,
        now: int,
    ) -> Lease | None:
        if lease_for is None or leases.paused_until(db, destination) > now:
            return None
        return self._acquire(db, destination, worker, lease_for, now)

    def _acquire(
        self,
        db: apsw.Connection,
        destination: str,
        worker: WorkerNumber,
        lease_for: timedelta,
        now: int,
    ) -> Lease | None:
        width, term = self._slots.get(destination, 1), self._term(lease_for)
        return leases.acquire(db, destination, worker, width=width, now=now, term=term)

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

        def operation(db: apsw.Connection) -> Sequence[Work]:
            work: list[Work] = []
            room = limit
            at = self._term(lease_for).at
            for destination in leases.due(
                db, worker, widths=self._slots, now=now, at=at, only=only
            ):
                if room <= 0:
                    break
                if destination in but:
                    continue
                lease = self._acquire(db, destination, worker, lease_for, now)
                if lease is not None:
                    taken = messages.lease_due(db, lease, now=now, limit=min(room, each or room))
                    room -= sum(map(len, taken.values()))
                    work.extend(messages.claimed_work(db, lease, taken))
                    leases.refresh(db, destination)
            return work

        return await self._writer.submit(operation)

    async def extend(
        self, held: Sequence[Lease], *, worker: WorkerNumber, lease_for: timedelta
    ) -> Sequence[Lease]:
        def operation(db: apsw.Connection) -> Sequence[Lease]:
            lost, until = [], self._term(lease_for).until
            for lease in held:
                db.execute(
                    "UPDATE slot SET lease_ends_at = ? WHERE id = ? AND epoch = ? AND worker = ?",
                    (until, lease.slot, lease.epoch, worker),
                )
                if not db.changes():
                    lost.append(lease)
            return lost

        return await self._writer.submit(operation)

    def settle(
        self,
        lease: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> "asyncio.Future[Sequence[Settlement]]":
        now = self._now()
        files: list[MessageId] = []

        def operation(db: apsw.Connection) -> Sequence[Settlement]:
            if not leases.holds(db, lease):
                raise LeaseLost(f"slot {lease.slot} of {lease.destination} has another owner")
            written = [each for each in settlements if outcomes.settle(db, lease, each, now=now)]
            # Not `extend`: it runs again, alone, when its turn was rolled back.
            files[:] = outcomes.drop_content(db, {each.message_id for each in settlements})
            for report in reports if written else ():
                messages.insert_returned(db, report)
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
                    leases.pause(db, lease.destination, values.to_ms(paused_until), why=why)

        await self._writer.submit(operation)

    async def remark(self, lease: Lease, why: str) -> None:
        now = self._now()

        def operation(db: apsw.Connection) -> None:
            if leases.holds(db, lease):
                leases.remark(db, lease.destination, why, now=now)

        await self._writer.submit(operation)

    async def resume(self, destination: str) -> None:
        def operation(db: apsw.Connection) -> None:
            if leases.paused_until(db, destination):
                leases.pause(db, destination, 0)

        await self._writer.submit(operation)

    async def reap(self) -> int:
        now = self._now()

        def operation(db: apsw.Connection) -> int:
            self._age.watch(db)
            ended = values.fetch(
                db,
                "SELECT id FROM slot WHERE worker IS NOT NULL AND lease_ends_at <= ?",
                (self._term().at,),
            )
            return sum(leases.abandon(db, slot, now=now) for (slot,) in ended)

        return await self._writer.submit(operation)

    async def act(
        self,
        selector: Query,
        action: Action,
        *,
        by: str,
        reason: str,
        report: ReportGivenUp | None = None,
    ) -> Acted:
        at = self._clock.now()
        files: list[MessageId] = []

        def operation(db: apsw.Connection) -> Acted:
            acted, dropped = operators.act(
                db, selector, action, by=by, reason=reason, at=at, report=report
            )
            for each in acted.reports:
                messages.insert_returned(db, each)
            files[:] = dropped
            return acted

        acting = self._writer.submit(operation)
        acting.add_done_callback(partial(self._remove, files))
        return await acting

    def note_late(
        self, path: VerpToken, notice: LateNotice | None, copy: NewMessage
    ) -> "asyncio.Future[LateNotice | None]":
        now = self._now()

        def operation(db: apsw.Connection) -> LateNotice | None:
            returned.count(db, path, now=now)
            messages.insert_returned(db, copy)
            known = notice is not None and outcomes.note_late(db, notice, now=now)
            return notice if known else None

        return self._store(copy, operation)

    async def secret(self) -> bytes:
        def operation(db: apsw.Connection) -> bytes:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('secret', randomblob(32))")
            return bytes(db.execute("SELECT value FROM meta WHERE key = 'secret'").get)

        return await self._writer.submit(operation)

    async def unsuppress(self, address: str, *, by: str) -> bool:
        now = self._now()
        return await self._writer.submit(
            lambda db: suppression.unsuppress(db, address, by=by, now=now)
        )

    async def purge(self, older_than: datetime) -> int:
        before = values.to_ms(older_than)

        def operation(db: apsw.Connection) -> int:
            old = values.fetch(
                db,
                "SELECT id FROM message WHERE id < ? AND NOT EXISTS (SELECT 1 FROM recipient"
                " WHERE message_id = message.id AND (state IN ('queued', 'held')"
                " OR updated_at >= ?)) ORDER BY id LIMIT ?",
                (int(first_id_at(older_than)), before, _PURGE_AT_ONCE),
            )
            for table, key in (
                ("event", "message_id"),
                ("came_back", "message_id"),
                ("recipient", "message_id"),
                ("message", "id"),
            ):
                db.executemany(f"DELETE FROM {table} WHERE {key} = ?", old)  # noqa: S608 -- fixed names
            return len(old)

        purged = await self._writer.submit(operation)
        if not purged:
            await self._read(self._sweep)
        return purged

    def _sweep(self, db: apsw.Connection) -> None:
        """Remove files that a crash left without their message."""
        with suppress(OSError):
            self._files.sweep(
                lambda files: [
                    each
                    for each in files
                    if db.execute("SELECT 1 FROM content WHERE message_id = ?", (each,)).get
                ]
            )

    async def content(self, message_id: MessageId) -> Content | None:
        def read(db: apsw.Connection) -> Content | None:
            sql = "SELECT body, beside FROM content WHERE message_id = ?"
            found = values.fetch(db, sql, (message_id,))
            if not found:
                return None
            [(body, beside)] = found
            return self._files.content_of(message_id, body, beside) if beside else bytes(body)

        return await self._read(read)

    async def next_due(self) -> datetime | None:
        sql = "SELECT min(due_at) FROM destination WHERE due_at IS NOT NULL"  # that has an index
        due_at = await self._read(lambda db: db.execute(sql).get)
        return None if due_at is None else values.from_ms(due_at)

    async def _read(self, question: Callable[[apsw.Connection], T]) -> T:
        """Ask on the reading connection, off the event loop."""
        async with self._reading:
            try:
                return await _in_thread(question, self._reader)
            except apsw.Error as exc:
                raise translate(exc) from exc

    def _term(self, lease_for: timedelta = timedelta()) -> leases.Term:
        """Count from the present: an operation may have waited long for its turn."""
        at = int(self._clock.monotonic() * 1000)
        return leases.Term(at, at + lease_for // timedelta(milliseconds=1))

    def _now(self) -> int:
        return values.to_ms(self._clock.now())


async def _in_thread(call: Callable[..., T], *arguments: Any) -> T:
    """Return what the call gives, off the event loop. Raises StoreUnavailable without a thread."""
    try:
        running = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    except RuntimeError as exc:  # the system gives us no thread
        raise StoreUnavailable(f"the queue file cannot be used now: {exc}") from exc
    return await running


def _drop_unwanted(content: FileContent, stored: "asyncio.Future[Any]") -> None:
    """Remove the file of a message that is not in the queue for sure (S-55)."""
    if stored.cancelled():
        return
    error = stored.exception()
    if error is not None and not isinstance(error, CommitUnknown):
        with suppress(OSError):  # what stays is for the sweep
            content.path.unlink()

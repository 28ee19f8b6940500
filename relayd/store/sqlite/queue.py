"""The workers' verbs on SQLite. Each is one operation in the writer's transaction.

Guards: `settle` touches a recipient only while it is leased under the lease that it names, and
every change of state follows `TRANSITIONS`.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

import apsw

from relayd.errors import LeaseLost
from relayd.mail.address import Address
from relayd.mail.envelope import (
    MessageId,
    NewMessage,
    NewRecipient,
    QueuedRecipient,
    WorkerNumber,
    first_id_at,
)
from relayd.mail.event import Event
from relayd.ports import Action, Clock, LateNotice, Lease, Query, Settlement, Work
from relayd.store.sqlite import leases, operators, outcomes, rows, suppression
from relayd.store.sqlite.connection import open_reader, prepare, translate
from relayd.store.sqlite.writer import Writer

_PURGE_AT_ONCE = 2000  # messages deleted in one transaction
_CONTENT_WITH_CLAIM = 128 * 1024  # octets up to which a claim brings the content along


class SqliteStore:
    """`relayd.ports.QueueStore` on one SQLite file, shared by the processes of one machine."""

    def __init__(self, path: str, *, clock: Clock, slots: Mapping[str, int]) -> None:
        self._clock = clock
        self._slots = slots
        self._writer = Writer(path)
        self._reader = open_reader(path)
        self._reading = asyncio.Lock()

    @classmethod
    def open(cls, path: str, *, clock: Clock, slots: Mapping[str, int]) -> Self:
        """Open the queue at `path`, creating or migrating it first.

        `slots` says how many slots a destination has, 1 where it does not.
        Raises StoreUnavailable, SchemaMismatch.
        """
        prepare(path)
        return cls(path, clock=clock, slots=slots)

    async def close(self) -> None:
        await asyncio.to_thread(self._writer.close)
        self._reader.close()

    async def register(self, name: str, *, daemon: str = "") -> WorkerNumber:
        now = self._now()

        def operation(db: apsw.Connection) -> WorkerNumber:
            leases.watch_clock(db, now)
            orphaned = rows.fetch(
                db,
                "SELECT id FROM slot WHERE worker IN"
                " (SELECT number FROM worker WHERE name = ? OR daemon <> ?)",
                (name, daemon),
            )
            for (slot,) in orphaned:
                leases.abandon(db, slot, now=now)
            db.execute("DELETE FROM worker WHERE name = ? OR daemon <> ?", (name, daemon))
            db.execute("INSERT INTO worker (name, daemon) VALUES (?, ?)", (name, daemon))
            return WorkerNumber(db.last_insert_rowid())

        return await self._writer.submit(operation)

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        now = self._now()

        def operation(db: apsw.Connection) -> Sequence[Work]:
            taken: dict[str, Lease | None] = {}
            for recipient in message.recipients:
                if (where := recipient.destination) not in taken:
                    taken[where] = self._born_lease(db, where, worker, lease_for, now)
            _insert_message(db, message)
            for number, recipient in enumerate(message.recipients):
                _insert_recipient(db, message, number, taken[recipient.destination])
            return _born_work(message, taken)

        return self._writer.submit(operation)

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
            for destination in leases.due(db, worker, widths=self._slots, now=now, at=at):
                if room <= 0:
                    break
                if destination in but or (only is not None and destination not in only):
                    continue
                lease = self._acquire(db, destination, worker, lease_for, now)
                if lease is not None:
                    taken = _lease_due(db, lease, now=now, limit=min(room, each or room))
                    room -= sum(map(len, taken.values()))
                    work.extend(_claimed_work(db, lease, taken))
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

        def operation(db: apsw.Connection) -> Sequence[Settlement]:
            if not leases.holds(db, lease):
                raise LeaseLost(f"slot {lease.slot} of {lease.destination} has another owner")
            written = [each for each in settlements if outcomes.settle(db, lease, each, now=now)]
            outcomes.drop_content(db, {settlement.message_id for settlement in settlements})
            for report in reports if written else ():
                _insert_message(db, report)
                for number in range(len(report.recipients)):
                    _insert_recipient(db, report, number, None)
            return written

        return self._writer.submit(operation)

    async def release(self, lease: Lease, *, paused_until: datetime | None = None) -> None:
        now = self._now()

        def operation(db: apsw.Connection) -> None:
            if leases.holds(db, lease):
                leases.hand_back(db, lease.slot, now=now)
                if paused_until is not None:
                    leases.pause(db, lease.destination, rows.to_ms(paused_until))

        await self._writer.submit(operation)

    async def reap(self) -> int:
        now = self._now()

        def operation(db: apsw.Connection) -> int:
            leases.watch_clock(db, now)
            ended = rows.fetch(
                db,
                "SELECT id FROM slot WHERE worker IS NOT NULL AND lease_ends_at <= ?",
                (self._term().at,),
            )
            return sum(leases.abandon(db, slot, now=now) for (slot,) in ended)

        return await self._writer.submit(operation)

    async def act(
        self, selector: Query, action: Action, *, by: str, reason: str
    ) -> Sequence[Event]:
        at = self._clock.now()
        return await self._writer.submit(
            lambda db: operators.act(db, selector, action, by=by, reason=reason, at=at)
        )

    def note_late(
        self, notice: LateNotice | None, copy: NewMessage
    ) -> "asyncio.Future[LateNotice | None]":
        now = self._now()

        def operation(db: apsw.Connection) -> LateNotice | None:
            _insert_message(db, copy)
            _insert_recipient(db, copy, 0, None)
            known = notice is not None and outcomes.note_late(db, notice, now=now)
            return notice if known else None

        return self._writer.submit(operation)

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
        before = rows.to_ms(older_than)

        def operation(db: apsw.Connection) -> int:
            old = rows.fetch(
                db,
                "SELECT id FROM message WHERE id < ? AND NOT EXISTS (SELECT 1 FROM recipient"
                " WHERE message_id = message.id AND (state IN ('queued', 'held')"
                " OR updated_at >= ?)) ORDER BY id LIMIT ?",
                (int(first_id_at(older_than)), before, _PURGE_AT_ONCE),
            )
            for table, key in (
                ("event", "message_id"),
                ("recipient", "message_id"),
                ("message", "id"),
            ):
                db.executemany(f"DELETE FROM {table} WHERE {key} = ?", old)  # noqa: S608 -- fixed names
            return len(old)

        return await self._writer.submit(operation)

    async def content(self, message_id: MessageId) -> bytes | None:
        body = await self._read("SELECT body FROM content WHERE message_id = ?", (message_id,))
        return None if body is None else bytes(body)

    async def next_due(self) -> datetime | None:
        due_at = await self._read("SELECT min(due_at) FROM destination", ())
        return None if due_at is None else rows.from_ms(due_at)

    async def _read(self, sql: str, bindings: tuple[Any, ...]) -> Any:
        """Ask for one value on the reading connection, off the event loop."""
        async with self._reading:
            try:
                return await asyncio.to_thread(lambda: self._reader.execute(sql, bindings).get)
            except apsw.Error as exc:
                raise translate(exc) from exc

    def _term(self, lease_for: timedelta = timedelta()) -> leases.Term:
        """Count from the present: an operation may have waited long for its turn."""
        at = int(self._clock.monotonic() * 1000)
        return leases.Term(at, at + lease_for // timedelta(milliseconds=1))

    def _now(self) -> int:
        return rows.to_ms(self._clock.now())


def _insert_message(db: apsw.Connection, message: NewMessage) -> None:
    facts, client = message.facts, message.client
    db.execute(
        "INSERT INTO message (id, received_at, reverse_path, size, message_id_header, tag, flags,"
        " parameters, client_ip, helo, listener, auth_user) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            message.id,
            rows.to_ms(message.received_at),
            str(message.reverse_path or ""),
            len(message.content),
            facts.message_id_header,
            facts.tag,
            rows.flags_of(facts),
            rows.dump(message.parameters),
            client.ip,
            client.helo,
            client.listener,
            client.auth_user,
        ),
    )
    db.execute(
        "INSERT INTO content (message_id, body) VALUES (?, ?)", (message.id, message.content)
    )


def _insert_recipient(
    db: apsw.Connection, message: NewMessage, number: int, lease: Lease | None
) -> None:
    recipient: NewRecipient = message.recipients[number]
    address: Address = recipient.address
    due_at = rows.to_ms(message.received_at)
    db.execute(
        "INSERT INTO recipient (message_id, number, address, address_key, parameters, destination,"
        " state, slot, next_attempt_at, attempts, updated_at) VALUES (?,?,?,?,?,?,'queued',?,?,?,?)",
        (
            message.id,
            number,
            str(address),
            rows.address_key(address.local, address.domain),
            rows.dump(recipient.parameters),
            recipient.destination,
            None if lease is None else lease.slot,
            due_at,
            0 if lease is None else 1,
            due_at,
        ),
    )
    if lease is None:
        leases.touch(db, recipient.destination, due_at)


def _born_work(message: NewMessage, taken: Mapping[str, Lease | None]) -> Sequence[Work]:
    queued = rows.queued_message(message)
    return [
        Work(
            lease=lease,
            message=queued,
            recipients=tuple(
                QueuedRecipient(
                    number=number,
                    address=str(recipient.address),
                    parameters=recipient.parameters,
                    attempt=1,
                    soft_failures=0,
                    possible_duplicate=False,
                )
                for number, recipient in enumerate(message.recipients)
                if recipient.destination == destination
            ),
            content=message.content,
        )
        for destination, lease in taken.items()
        if lease is not None
    ]


def _lease_due(
    db: apsw.Connection, lease: Lease, *, now: int, limit: int
) -> dict[int, list[QueuedRecipient]]:
    """Lease up to `limit` due recipients; return them by message."""
    due = rows.fetch(
        db,
        "SELECT message_id, number, address, parameters, attempts + 1, soft_failures,"
        " possible_duplicate FROM recipient WHERE destination = ? AND state = 'queued'"
        " AND slot IS NULL AND next_attempt_at <= ? ORDER BY next_attempt_at, message_id LIMIT ?",
        (lease.destination, now, limit),
    )
    db.executemany(
        "UPDATE recipient SET slot = ?, attempts = attempts + 1 WHERE message_id = ? AND number = ?",
        [(lease.slot, row[0], row[1]) for row in due],
    )
    taken: dict[int, list[QueuedRecipient]] = {}
    for row in due:
        taken.setdefault(row[0], []).append(rows.recipient_of(row[1:]))
    return taken


def _claimed_work(
    db: apsw.Connection, lease: Lease, taken: Mapping[int, list[QueuedRecipient]]
) -> Sequence[Work]:
    work = []
    for message_id, recipients in taken.items():
        *row, body = rows.fetch(
            db,
            f"SELECT {rows.MESSAGE_COLUMNS}, CASE WHEN m.size <= ? THEN c.body END FROM message m"  # noqa: S608 -- fixed columns
            " JOIN content c ON c.message_id = m.id WHERE m.id = ?",
            (_CONTENT_WITH_CLAIM, message_id),
        )[0]
        work.append(
            Work(
                lease=lease,
                message=rows.message_of(tuple(row)),
                recipients=tuple(recipients),
                content=body,
            )
        )
    return work

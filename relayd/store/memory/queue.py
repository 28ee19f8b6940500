"""The workers' verbs on plain dicts."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from relayd.errors import LeaseLost, ReturnPathSpent, StoreError
from relayd.mail.batch import in_whole_messages
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.event import subject_of
from relayd.mail.ids import (
    MessageId,
    Registration,
    WorkerIdentity,
    WorkerNumber,
)
from relayd.mail.operator import Action, Operator, ReadBy
from relayd.mail.outcome import RecipientState
from relayd.mail.pause import Named, PauseRule, Side
from relayd.mail.suppression import ToSuppress, in_force, is_suppressed, of_person
from relayd.policy.delivery.fairness import Head, at_most, without_backlog_first
from relayd.policy.delivery.retry import LastRetry
from relayd.policy.verp import VerpToken
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
from relayd.ports.view import Place, Query, RecipientRow, Status
from relayd.store.memory import (
    messages,
    once,
    operators,
    outcomes,
    pausing,
    requeue,
    returned,
    suppression,
    tally,
)
from relayd.store.memory.age import Age
from relayd.store.memory.leases import Leases
from relayd.store.memory.outbox import MemoryOutbox
from relayd.store.memory.people import MemoryPeople
from relayd.store.memory.permits import MemoryPermits
from relayd.store.memory.shares import MemoryShares
from relayd.store.memory.sites import MemorySites
from relayd.store.memory.spool import MemorySpool
from relayd.store.memory.tables import Message, Recipient, Tables
from relayd.store.memory.trust import MemoryTrust
from relayd.store.memory.view import MemoryView
from relayd.store.memory.workers import Workers

T = TypeVar("T")


class MemoryStore(MemoryView):
    """`relayd.ports.queue.QueueStore`, with the questions of a QueueView beside it.

    `view` is the QueueView proper, for those who close what they were given: `close` is awaited here.
    `slots` says how many slots a destination has, 1 where it does not.
    """

    def __init__(
        self, clock: Clock, slots: Mapping[str, int] | None = None, *, keeps_bounced: bool = False
    ) -> None:
        super().__init__(Tables())
        self._keeps_bounced = keeps_bounced
        self.view = MemoryView(self._tables)
        self._clock = clock
        self._age = Age(clock, self._tables)
        self._leases = Leases(clock, self._tables, dict(slots or {}))
        self._workers = Workers()

    @property
    def people(self) -> MemoryPeople:
        return MemoryPeople(self._tables.people, self._clock)

    @property
    def outbox(self) -> MemoryOutbox:
        return MemoryOutbox(self._tables, self._clock, self._age)

    @property
    def permits(self) -> MemoryPermits:
        return MemoryPermits(self._tables, self._clock)

    @property
    def shares(self) -> MemoryShares:
        return MemoryShares(self._tables.shares, self._clock)

    @property
    def sites(self) -> MemorySites:
        return MemorySites(self._tables.sites, self._clock)

    @property
    def trust(self) -> MemoryTrust:
        return MemoryTrust(
            self._tables, self._clock, lambda message: self._add(message, is_returned=True)
        )

    async def close(self) -> None:  # type: ignore[override]  # see the class
        pass

    async def register(self, worker: WorkerIdentity) -> Registration:
        self._age.watch(is_first=self._workers.is_first(worker))
        dead = self._workers.remove_dead(worker)
        self._leases.abandon_of(dead)
        self.shares.forget(dead)
        now = self._clock.now()
        for destination in [key for key, until in self._tables.paused.items() if until > now]:
            del self._tables.paused[destination]
            self._tables.paused_for.pop(destination, None)
        return self._workers.add(worker, ids=self._tables.messages, at=now)

    def has_room(self) -> bool:
        return True

    def spool(self) -> Spool:
        return MemorySpool()

    async def leave(self, worker: WorkerNumber) -> None:
        self.shares.forget({worker})

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        self._age.watch()
        if message.once is not None:
            try:
                once.write(self._tables, message.once, message.id, served=self._age.served())
            except StoreError as known:
                return _failed(known)
        recipients = self._add(message)
        works: list[Work] = []
        now = self._clock.now()
        is_stopped = any(pausing.rule_of(self._tables, one, now) for one in recipients)
        if lease_for is not None and not message.is_held:
            for destination in dict.fromkeys(one.destination for one in recipients):
                if self._leases.is_paused(destination) or is_stopped:
                    continue
                if (lease := self._leases.take(destination, worker, lease_for)) is not None:
                    group = [one for one in recipients if one.destination == destination]
                    works += self._lease(lease, group)
        return _done([replace(work, content=message.content) for work in works])

    def _add(self, message: NewMessage, *, is_returned: bool = False) -> list[Recipient]:
        served = self._age.served()
        return messages.insert(self._tables, message, served=served, is_returned=is_returned)

    def _lease(self, lease: Lease, recipients: Sequence[Recipient]) -> list[Work]:
        return messages.lease_to(self._tables, lease, recipients, served=self._age.served())

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
        self._age.watch()
        works: list[Work] = []
        now, served = self._clock.now(), self._age.served()
        pausing.let_go(self._tables, now, served=served)
        if self._tables.pause_rules:  # a rule may stop what that frees
            self._leases.abandon_ended(but=worker)
        pausing.stop(self._tables, self._leases.due(self._tables.recipients()), now, served=served)
        of: dict[str, list[Recipient]] = {}
        for recipient in self._tables.recipients():
            of.setdefault(recipient.destination, []).append(recipient)
        room = limit

        def is_next(without: Head | None, behind: Head | None) -> bool:
            return without_backlog_first(without, behind, taken=limit - room, limit=limit)

        for destination, others in self._leases.due_destinations(is_next):
            if destination in but or (only is not None and destination not in only):
                continue
            lease = self._leases.take(destination, worker, lease_for) if room > 0 else None
            if lease is not None:
                most = at_most(min(room, each or room), limit=limit, others=others)
                due = self._leases.due(of[destination])[:most]
                works += self._lease(lease, due)
                room -= len(due)
                self._leases.note_claimed(destination, of[destination])
        return works

    def next_due(self) -> float | None:
        return None  # a look costs next to nothing

    async def extend(
        self, leases: Sequence[Lease], *, worker: WorkerNumber, lease_for: timedelta
    ) -> Sequence[Lease]:
        lost = []
        for lease in leases:
            slot = self._leases.current(lease)
            if slot is None or slot.owner != worker:
                lost.append(lease)
            else:
                slot.ends_at = self._clock.monotonic() + lease_for.total_seconds()
        return lost

    def settle(
        self,
        lease: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> "asyncio.Future[Sequence[Settlement]]":
        self._age.watch()
        if self._leases.current(lease) is None:
            return _failed(LeaseLost(f"slot {lease.slot} of {lease.destination} was lost"))
        written = []
        for settlement in settlements:
            message = self._tables.messages.get(settlement.message_id)
            if message is None:
                continue
            recipient = message.recipients[settlement.recipient]
            attempt = settlement.attempt or recipient.attempts
            if (recipient.lease, recipient.attempts) != (lease, attempt):
                continue  # an operator's act came first
            served, now = self._age.served(), self._clock.now()
            age = served - message.served_at
            if not outcomes.settle(recipient, settlement, now, served=served, age=age):
                continue
            outcomes.keep_what_it_says(self._tables, recipient, settlement, now)
            self._tables.note(message, *settlement.events)
            self._keep(message, recipient)
            message.drop_content()
            written.append(settlement)
        for report in reports if written else ():
            self._add(report, is_returned=True)
        return _done(written)

    def _keep(self, message: Message, recipient: Recipient) -> None:
        """Keep the content of a message for a recipient that bounced."""
        is_bounced = recipient.state is RecipientState.BOUNCED
        if self._keeps_bounced and is_bounced and not recipient.returned:
            message.kept_since = self._clock.now()

    async def release(
        self, lease: Lease, *, paused_until: datetime | None = None, why: str = ""
    ) -> None:
        self._age.watch()
        slot = self._leases.current(lease)
        if slot is None:
            return
        for recipient in self._leases.leased(lease):
            recipient.attempts -= 1
            recipient.requeue(self._clock.now())
        slot.owner = None
        if paused_until is not None:
            self._tables.pause(lease.destination, paused_until, why)

    async def remark(self, lease: Lease, why: str) -> None:
        if self._leases.current(lease) is not None:
            self._leases.remark(lease.destination, why)

    async def resume(self, destination: str) -> None:
        self._tables.resume(destination)

    async def content(self, message_id: MessageId) -> Content | None:
        return self.content_of(message_id)

    async def read(
        self, message_id: MessageId, *, by: str, reason: str, of: str | None = None
    ) -> ContentRead | None:
        content = self.content_of(message_id)
        if content is None:
            return None
        message = self._tables.messages[message_id]
        if of not in (None, message.new.client.auth_user):
            return None
        reader = ReadBy(by, reason, self._clock.now())
        events = [
            reader.event(message_id, number, subject_of(message.new, number))
            for number in range(len(message.recipients))
        ]
        self._tables.note(message, *events)
        return ContentRead(content=content, events=tuple(events))

    async def reap(self) -> int:
        self._age.watch()
        return self._leases.abandon_ended()

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
        self._age.watch()
        served = self._age.served()
        part = batch or Batch()
        matching = self._matching(selector, before=part.before)
        rows = in_whole_messages(matching, part.limit)
        operator = Operator(action, by, reason, self._clock.now())
        events = operators.act(self._tables, rows, operator, served=served)
        reports = []
        if report is not None and action is Action.BOUNCE:
            reports = operators.reports(self._tables, events, report, reason=reason, served=served)
        for composed in reports:
            self._add(composed, is_returned=True)
        for event in events:
            message = self._tables.messages[event.message_id]
            self._keep(message, message.recipients[event.recipient])
            message.drop_content()
        return Acted(
            events=tuple(events),
            reports=tuple(reports),
            matched=len(rows),
            more=(rows[-1].message_id, rows[-1].recipient) if len(rows) < len(matching) else None,
        )

    async def requeue(
        self, selector: Query, how: Requeue, *, batch: Batch | None = None, dry_run: bool = False
    ) -> Requeued:
        self._age.watch()
        part = batch or Batch()
        query = replace(selector, status=(Status.BOUNCED,), unfinished=False)
        limit = sum(1 for _ in self._tables.recipients())
        rows = self.find(query, limit=limit, before=part.before)

        def is_suppressed(row: RecipientRow) -> bool:
            return self.is_suppressed(row.address, sender=row.reverse_path)

        found = requeue.candidates(self._tables, rows, is_suppressed)
        taken = in_whole_messages(found, part.limit)
        if dry_run:
            targets = () if batch is None else how.targets_of(taken)
            done = Requeued(counts=how.counts_of(taken), targets=targets)
        else:
            done = requeue.requeue(self._tables, taken, how, self._add, served=self._age.served())
        is_all = len(taken) == len(found)
        return done if is_all else replace(done, more=(taken[-1].message_id, taken[-1].number))

    async def let_go(self, before: datetime) -> LetGo:
        kept = [
            message
            for message in self._tables.messages.values()
            if message.kept_since is not None and message.kept_since < before
        ]
        octets = 0
        for message in kept:
            message.kept_since = None
            octets += len(message.content or b"")
            message.drop_content()
            octets -= len(message.content or b"")
        return LetGo(messages=len(kept), octets=octets)

    async def foresee(
        self, selector: Query, action: Action, *, last: LastRetry, batch: Batch | None = None
    ) -> Foreseen:
        part = batch or Batch()
        matching = self._matching(selector, before=part.before)
        rows = in_whole_messages(matching, part.limit)
        foreseen = operators.foresee(
            self._tables, rows, action, last=last, served=self._age.served()
        )
        if batch is None:
            return replace(foreseen, targets=())
        is_all = len(rows) == len(matching)
        return replace(foreseen, more=None if is_all else (rows[-1].message_id, rows[-1].recipient))

    def _matching(self, selector: Query, *, before: Place | None = None) -> Sequence[RecipientRow]:
        """Return the unfinished recipients that match."""
        query = replace(selector, unfinished=True)
        return self.find(query, limit=sum(1 for _ in self._tables.recipients()), before=before)

    def note_late(
        self, path: VerpToken, notice: LateNotice | None, copy: NewMessage
    ) -> "asyncio.Future[LateNotice | None]":
        self._age.watch()
        now = self._clock.now()
        try:
            returned.count(self._tables, path, now=now)
        except ReturnPathSpent as spent:
            return _failed(spent)
        self._add(copy, is_returned=True)
        if notice is None or not outcomes.note_late(self._tables, notice, now=now):
            return _done(None)
        return _done(notice)

    async def secret(self) -> bytes:
        return b"the same for every memory store."

    async def suppress(self, wanted: Sequence[ToSuppress], *, by: str) -> Sequence[bool]:
        new = []
        for each in wanted:
            known = suppression.known(self._tables, each.address)
            new.append(not is_suppressed(known, each.scope.lower()))
            if new[-1]:
                suppression.keep(self._tables, of_person(each, by=by, at=self._clock.now()))
        return new

    async def unsuppress(self, address: str) -> bool:
        if not in_force(suppression.known(self._tables, address)):
            return False
        del self._tables.suppressing[suppression.key_of(address)]
        return True

    async def pause(self, rules: Sequence[PauseRule]) -> Sequence[PauseRule]:
        return [pausing.add(self._tables, rule) for rule in rules]

    async def unpause(
        self, wanted: Collection[int | Named] | None, sides: Collection[Side]
    ) -> Sequence[PauseRule]:
        return pausing.end(self._tables, wanted, sides)

    async def purge(self, older_than: datetime) -> int:
        old = [
            message_id
            for message_id, message in self._tables.messages.items()
            if message.is_finished()
            and max(one.updated_at for one in message.recipients) < older_than
        ]
        for message_id in old:
            del self._tables.messages[message_id]
        self.outbox.purge(old, older_than)
        tally.forget(self._tables, older_than)
        return len(old)

    async def forget_keys(self) -> int:
        return once.forget(self._tables, served=self._age.served())

    async def compact(self, older_than: datetime) -> Compacted:
        """Only what is purged is to be had back: there is no file."""
        purged = await self.purge(older_than)
        return Compacted(purged=purged, octets=0, unused=0, can_shrink=True)

    async def migrate(self) -> Migrated:
        return Migrated()  # one relayd at a time has it

    async def tally_up(self, at_once: int = TALLIED_AT_ONCE) -> bool:  # noqa: ARG002 -- nothing is
        return False


def _done(result: T) -> "asyncio.Future[T]":
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


def _failed(error: Exception) -> "asyncio.Future[T]":
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future

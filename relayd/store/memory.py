"""The queue in plain dicts: every rule of the store, nothing of its durability. For tests.

Owns the rules as short code, for unit tests to lean on and for the other stores to be compared with.
Every verb runs to its end without giving way to the loop, so each is a transaction by itself;
"durable" means "in the dict". Leaves disks, threads and other processes to the real stores, and
questions to `relayd.store.memory_view`.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TypeVar, assert_never

from relayd.errors import LeaseLost, ReturnPathSpent
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, QueuedMessage
from relayd.mail.event import Event, first_events, subject_of
from relayd.mail.ids import (
    MessageId,
    Registration,
    WorkerIdentity,
    WorkerNumber,
    bits_of,
    first_id_at,
    next_number,
    received_at_of,
    worker_bits_of,
)
from relayd.mail.outcome import (
    Bounced,
    Deferred,
    Held,
    Moved,
    NotTried,
    RecipientState,
    Relayed,
    Sent,
)
from relayd.mail.words import BounceClass, Category, EventKind, Fault, JsonValue
from relayd.policy.admit import admit_returned
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
from relayd.store.memory_view import (
    MemoryView,
    Message,
    Recipient,
    Slot,
    Tables,
    queued_message,
    queued_recipient,
)

T = TypeVar("T")
_QUEUED, _HELD = RecipientState.QUEUED, RecipientState.HELD
# From which states an operator's verb takes effect, where it leads, and how it is recorded.
_ACTS = {
    Action.HOLD: ((_QUEUED,), _HELD, EventKind.HELD),
    Action.RELEASE: ((_HELD,), _QUEUED, EventKind.RELEASED),
    Action.EXPEDITE: ((_QUEUED,), _QUEUED, EventKind.EXPEDITED),
    Action.BOUNCE: ((_QUEUED, _HELD), RecipientState.BOUNCED, EventKind.BOUNCED),
    Action.DROP: ((_QUEUED, _HELD), RecipientState.DROPPED, EventKind.DROPPED),
}


class MemoryStore(MemoryView):
    """`relayd.ports.queue.QueueStore`, with the questions of a QueueView beside it.

    `view` is the QueueView proper, for whoever closes what it was given: `close` is awaited here.
    `slots` says how many slots a destination has, 1 where it does not.
    """

    def __init__(self, clock: Clock, slots: Mapping[str, int] | None = None) -> None:
        super().__init__(Tables())
        self.view = MemoryView(self._tables)
        self._clock = clock
        self._widths = dict(slots or {})
        self._workers: dict[WorkerNumber, WorkerIdentity] = {}  # those that may be alive
        self._last_worker = 0  # the highest number given
        self._seen = clock.now()
        self._base = self._seen_served = 0.0

    async def close(self) -> None:  # type: ignore[override]  # see the class
        pass

    async def register(self, worker: WorkerIdentity) -> Registration:
        fellows = {n: each for n, each in self._workers.items() if each.boot == worker.boot}
        self._watch_clock(is_first=not fellows)
        living = {n: each for n, each in fellows.items() if each.name != worker.name}
        dead = self._workers.keys() - living.keys()
        for destination, slots in self._tables.slots.items():
            for index, slot in enumerate(slots):
                if slot.owner in dead:
                    self._abandon(destination, index)
        self._tables.paused.clear()
        self._tables.paused_for.clear()
        self._workers = living
        self._last_worker = number = next_number(self._last_worker, living)
        living[number] = worker
        latest = max(
            (each for each in self._tables.messages if worker_bits_of(each) == bits_of(number)),
            default=MessageId(0),
        )
        after = max(first_id_at(self._clock.now()), latest)
        return Registration(number=number, ids_after=received_at_of(after))

    def has_room(self) -> bool:
        return True

    def spool(self) -> Spool:
        return MemorySpool()

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        self._watch_clock()
        recipients = self._add(message)
        works: list[Work] = []
        if lease_for is not None and not message.is_held:
            for destination in dict.fromkeys(one.destination for one in recipients):
                if not self._is_paused(destination):
                    group = [one for one in recipients if one.destination == destination]
                    works += self._lease(group, self._take(destination, worker, lease_for))
        return _done([replace(work, content=message.content) for work in works])

    def _add(self, message: NewMessage, *, is_returned: bool = False) -> list[Recipient]:
        assert message.id not in self._tables.messages, "ids are unique"
        recipients = [
            Recipient(
                message_id=message.id,
                number=number,
                new=new,
                next_attempt_at=message.received_at,
                updated_at=message.received_at,
                state=_HELD if message.is_held else _QUEUED,
                returned=is_returned,
            )
            for number, new in enumerate(message.recipients)
        ]
        stored = Message(
            new=message,
            content=message.content,
            recipients=recipients,
            served_at=self._served(),
            events=list(first_events(message)),
        )
        self._tables.messages[message.id] = stored
        return recipients

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
        self._watch_clock()
        works: list[Work] = []
        of: dict[str, list[Recipient]] = {}
        for recipient in self._tables.recipients():
            of.setdefault(recipient.destination, []).append(recipient)
        for destination in self._due_destinations():
            if destination in but or (only is not None and destination not in only):
                continue
            lease = self._take(destination, worker, lease_for) if limit > 0 else None
            if lease is not None:
                due = self._due(of[destination])[: min(limit, each or limit)]
                works += self._lease(due, lease)
                limit -= len(due)
        return works

    async def extend(
        self, leases: Sequence[Lease], *, worker: WorkerNumber, lease_for: timedelta
    ) -> Sequence[Lease]:
        lost = []
        for lease in leases:
            slot = self._current(lease)
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
        self._watch_clock()
        if self._current(lease) is None:
            lost: asyncio.Future[Sequence[Settlement]] = asyncio.get_running_loop().create_future()
            lost.set_exception(LeaseLost(f"slot {lease.slot} of {lease.destination} was lost"))
            return lost
        written = []
        for settlement in settlements:
            message = self._tables.messages.get(settlement.message_id)
            if message is None:
                continue
            recipient = message.recipients[settlement.recipient]
            attempt = settlement.attempt or recipient.attempts
            if (recipient.lease, recipient.attempts) != (lease, attempt):
                continue  # an operator's act came first
            _apply(recipient, settlement, self._clock.now())
            self._tables.note(message, *settlement.events)
            message.drop_content()
            written.append(settlement)
        for report in reports if written else ():
            self._add(report, is_returned=True)
        return _done(written)

    async def release(
        self, lease: Lease, *, paused_until: datetime | None = None, why: str = ""
    ) -> None:
        self._watch_clock()
        slot = self._current(lease)
        if slot is None:
            return
        for recipient in self._leased(lease):
            recipient.attempts -= 1
            recipient.requeue(self._clock.now())
        slot.owner = None
        if paused_until is not None:
            self._tables.paused[lease.destination] = paused_until
            self._tables.paused_for[lease.destination] = why

    async def remark(self, lease: Lease, why: str) -> None:
        paused = self._tables.paused.get(lease.destination)
        if self._current(lease) and (paused is None or paused <= self._clock.now()):
            self._tables.paused_for[lease.destination] = why

    async def resume(self, destination: str) -> None:
        self._tables.paused.pop(destination, None)
        self._tables.paused_for.pop(destination, None)

    async def content(self, message_id: MessageId) -> Content | None:
        message = self._tables.messages.get(message_id)
        return None if message is None else message.content

    def _served(self) -> float:
        """Count the seconds in which a daemon served the queue."""
        return self._base + self._clock.monotonic()

    def _watch_clock(self, *, is_first: bool = False) -> None:
        """Notice that the wall clock was set: then all waits go on from where they were."""
        if is_first:
            self._base = self._seen_served - self._clock.monotonic()
        now, served = self._clock.now(), self._served()
        jump = (now - self._seen) - timedelta(seconds=served - self._seen_served)
        self._seen, self._seen_served = now, served
        if is_first:
            jump = min(jump, timedelta())
        if abs(jump) < timedelta(minutes=1):
            return
        ahead = min(now, now - jump)
        for recipient in self._tables.recipients():
            if recipient.is_waiting() and recipient.next_attempt_at > ahead:
                recipient.next_attempt_at = max(now, recipient.next_attempt_at + jump)
        for destination, until in self._tables.paused.items():
            if until > ahead:
                self._tables.paused[destination] = max(now, until + jump)

    def _queued(self, message_id: MessageId) -> QueuedMessage:
        message = self._tables.messages[message_id]
        age = timedelta(seconds=self._served() - message.served_at)
        return replace(queued_message(message.new), age=age)

    async def reap(self) -> int:
        self._watch_clock()
        return sum(
            self._abandon(destination, index)
            for destination, slots in self._tables.slots.items()
            for index, slot in enumerate(slots)
            if slot.owner is not None and slot.ends_at <= self._clock.monotonic()
        )

    async def next_due(self) -> datetime | None:
        waiting = [one for one in self._tables.recipients() if one.is_waiting()]
        return min((self._due_at(one) for one in waiting), default=None)

    async def act(
        self,
        selector: Query,
        action: Action,
        *,
        by: str,
        reason: str,
        report: ReportGivenUp | None = None,
    ) -> Acted:
        self._watch_clock()
        events = []
        given_up: dict[MessageId, list[Recipient]] = {}
        for row in self.find(selector, limit=sum(1 for _ in self._tables.recipients())):
            message = self._tables.messages[row.message_id]
            recipient = message.recipients[row.recipient]
            if recipient.state not in _ACTS[action][0]:
                continue
            if action is Action.EXPEDITE:
                if recipient.lease is not None:
                    continue
                self._tables.paused.pop(recipient.destination, None)
                self._tables.paused_for.pop(recipient.destination, None)
            event = _act_on(recipient, action, at=self._clock.now(), by=by, reason=reason)
            event = replace(event, subject=subject_of(message.new, recipient.number))
            self._tables.note(message, event)
            events.append(event)
            given_up.setdefault(row.message_id, []).append(recipient)
        asked = report if action is Action.BOUNCE else None
        reports = [] if asked is None else self._reports(given_up, asked, reason=reason)
        for message_id in given_up:
            self._tables.messages[message_id].drop_content()
        return Acted(events=tuple(events), reports=tuple(reports))

    def _reports(
        self, given_up: Mapping[MessageId, list[Recipient]], report: ReportGivenUp, *, reason: str
    ) -> list[NewMessage]:
        reports = []
        for message_id, those in given_up.items():
            message = self._tables.messages[message_id]
            recipients = [queued_recipient(one) for one in sorted(those, key=attrgetter("number"))]
            composed = report(
                self._queued(message.new.id), recipients, message.content or b"", reason
            )
            if composed is not None:
                self._add(composed, is_returned=True)
                reports.append(composed)
        return reports

    def note_late(
        self, path: VerpToken, notice: LateNotice | None, copy: NewMessage
    ) -> "asyncio.Future[LateNotice | None]":
        self._watch_clock()
        if (meant := self._tables.messages.get(path.message_id)) is not None:
            came_back = meant.recipients[path.recipient].came_back
            if admit_returned(came_back, now=self._clock.now()) is not None:
                spent: asyncio.Future[LateNotice | None] = (
                    asyncio.get_running_loop().create_future()
                )
                spent.set_exception(ReturnPathSpent("as much mail came to this return path as may"))
                return spent
            came_back.append(self._clock.now())
        self._add(copy, is_returned=True)
        if notice is None:
            return _done(None)
        event, outcome = notice.event, notice.outcome
        message = self._tables.messages.get(event.message_id)
        if message is None:
            return _done(None)
        if outcome is not None:
            recipient = message.recipients[event.recipient]
            if recipient.state not in (RecipientState.RELAYED, RecipientState.SENT):
                return _done(None)
            recipient.move(RecipientState.BOUNCED, self._clock.now())
            recipient.reason, recipient.category = outcome.reason, outcome.category
            recipient.bounce_class, recipient.suppress = outcome.bounce_class, outcome.suppress
            recipient.code, recipient.enhanced, recipient.reply = None, outcome.status, None
            recipient.is_late = True
        self._tables.note(message, event)
        return _done(notice)

    async def secret(self) -> bytes:
        return b"the same for every memory store."

    async def unsuppress(self, address: str, *, by: str) -> bool:  # noqa: ARG002 -- not kept here
        rows = self.addresses(Query(recipient=address), limit=1)
        if not any(row.suppress for row in rows):
            return False
        self._tables.unsuppressed[address.lower()] = self._clock.now()
        return True

    async def purge(self, older_than: datetime) -> int:
        old = [
            message_id
            for message_id, message in self._tables.messages.items()
            if message.is_finished()
            and max(one.updated_at for one in message.recipients) < older_than
        ]
        for message_id in old:
            del self._tables.messages[message_id]
        return len(old)

    def _due_at(self, recipient: Recipient) -> datetime:
        at = recipient.next_attempt_at
        return max(at, self._tables.paused.get(recipient.destination, at))

    def _due(self, recipients: Iterable[Recipient]) -> list[Recipient]:
        now = self._clock.now()
        due = [one for one in recipients if one.is_waiting() and self._due_at(one) <= now]
        return sorted(due, key=attrgetter("next_attempt_at", "message_id", "number"))

    def _due_destinations(self) -> list[str]:
        """Where something is due, by the instant that the first recipient became so."""
        now = self._clock.now()
        since: dict[str, datetime] = {}
        for one in self._tables.recipients():
            if one.is_waiting() and (due_at := self._due_at(one)) <= now:
                since[one.destination] = min(since.get(one.destination, due_at), due_at)
        return sorted(since, key=lambda name: (since[name], name))

    def _is_paused(self, destination: str) -> bool:
        paused_until = self._tables.paused.get(destination)
        return paused_until is not None and self._clock.now() < paused_until

    def _leased(self, lease: Lease) -> list[Recipient]:
        return [one for one in self._tables.recipients() if one.lease == lease]

    def _current(self, lease: Lease) -> Slot | None:
        """Return the slot of a lease that still holds, be it past its end, while nobody took it."""
        for index, slot in enumerate(self._tables.slots.get(lease.destination, [])):
            if (index, slot.epoch) == (lease.slot, lease.epoch) and slot.owner is not None:
                return slot
        return None

    def _abandon(self, destination: str, index: int) -> int:
        """Free a slot whose owner is gone; return how many recipients that freed."""
        slot = self._tables.slots[destination][index]
        leased = self._leased(Lease(destination, index, slot.epoch))
        for recipient in leased:
            recipient.unknown_outcomes = max(recipient.unknown_outcomes, 1)
            recipient.requeue(self._clock.now())
        slot.owner = None
        slot.epoch += 1
        return len(leased)

    def _take(self, destination: str, worker: WorkerNumber, lease_for: timedelta) -> Lease | None:
        """Lease the slot that `worker` owns, else a free one; None when others own them all."""
        now = self._clock.monotonic()
        slots = self._tables.slots.setdefault(destination, [])
        while len(slots) < self._widths.get(destination, 1):
            slots.append(Slot(ends_at=now))
        owned = [index for index, slot in enumerate(slots) if slot.owner == worker]
        free = [i for i, slot in enumerate(slots) if slot.owner is None or slot.ends_at <= now]
        if not owned + free:
            return None
        index = (owned + free)[0]
        slot = slots[index]
        if slot.owner != worker:
            if all(other.owner is None or other.ends_at <= now for other in slots):
                self._tables.paused_for.pop(destination, None)
            self._abandon(destination, index)
            slot.owner = worker
        slot.ends_at = now + lease_for.total_seconds()
        return Lease(destination, index, slot.epoch)

    def _lease(self, recipients: Sequence[Recipient], lease: Lease | None) -> list[Work]:
        if lease is None:
            return []
        by_message: dict[MessageId, list[Recipient]] = {}
        for recipient in recipients:
            recipient.lease = lease
            recipient.attempts += 1
            by_message.setdefault(recipient.message_id, []).append(recipient)
        return [
            Work(
                lease=lease,
                message=self._queued(message_id),
                recipients=tuple(queued_recipient(one) for one in group),
                content=None,
            )
            for message_id, group in by_message.items()
        ]


def _apply(recipient: Recipient, settlement: Settlement, now: datetime) -> None:
    outcome = settlement.outcome
    if isinstance(outcome, NotTried | Moved | Held):
        recipient.attempts -= 1
        recipient.requeue(now)
        if isinstance(outcome, Moved):
            recipient.moved_to = outcome.destination
        elif isinstance(outcome, Held):
            recipient.move(RecipientState.HELD, now)
        return
    recipient.code, recipient.enhanced = settlement.code, settlement.enhanced
    recipient.reply, recipient.remote_host = settlement.reply, settlement.remote_host
    recipient.category = recipient.reason = None
    match outcome:
        case Relayed():
            recipient.move(RecipientState.RELAYED, now)
        case Sent():
            recipient.move(RecipientState.SENT, now)
        case Deferred():
            recipient.move(RecipientState.QUEUED, now)
            recipient.next_attempt_at = outcome.retry_at
            recipient.category, recipient.reason = outcome.category, outcome.reason
            recipient.soft_failures = outcome.soft_failures
            recipient.unknown_outcomes += outcome.possible_duplicate
        case Bounced():
            recipient.move(RecipientState.BOUNCED, now)
            recipient.category, recipient.reason = outcome.category, outcome.reason
            recipient.bounce_class, recipient.suppress = outcome.bounce_class, outcome.suppress
        case _:
            assert_never(outcome)


def _act_on(recipient: Recipient, action: Action, *, at: datetime, by: str, reason: str) -> Event:
    _, state, kind = _ACTS[action]
    if recipient.lease is not None:  # that attempt runs on, unheard
        recipient.unknown_outcomes = max(recipient.unknown_outcomes, 1)
    recipient.move(state, at)
    recipient.next_attempt_at = at
    detail: dict[str, JsonValue] = {"by": by, "reason": reason, "status": recipient.status.value}
    if action is Action.BOUNCE:
        recipient.bounce_class, recipient.category = BounceClass.BLOCK, Category.POLICY
        recipient.reason, recipient.suppress = reason, False
        recipient.code = recipient.enhanced = recipient.reply = None
        detail["bounce_class"] = BounceClass.BLOCK.value
        detail["category"] = Category.POLICY.value
        detail["fault"] = Fault.POLICY.value
        detail["suppress"] = False
    return Event(
        kind=kind,
        at=at,
        message_id=recipient.message_id,
        recipient=recipient.number,
        detail=detail,
    )


class MemorySpool:
    """`relayd.ports.queue.Spool` that keeps what it is there to get rid of."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def write(self, octets: bytes, /) -> None:
        self._octets += octets

    def finish(self, head: bytes, /) -> Content:
        return head + bytes(self._octets)

    def discard(self) -> None:
        self._octets.clear()


def _done(result: T) -> "asyncio.Future[T]":
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future

"""The tables of the store in memory, and the questions to them.

Owns what a message and a recipient are there, and what a `Query` means, in plain Python. Leaves every
change to `relayd.store.memory`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter

from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, NewRecipient, QueuedMessage, QueuedRecipient
from relayd.mail.event import Event, receptions
from relayd.mail.ids import MessageId, WorkerNumber, received_at_of
from relayd.mail.outcome import FINAL_STATES, TRANSITIONS, RecipientState
from relayd.mail.words import BounceClass, Category
from relayd.ports.queue import Lease
from relayd.ports.view import (
    INACTIVE_BOUNCES,
    NAMED_SENDERS,
    AddressRow,
    Counts,
    HistoryEntry,
    LatestEvent,
    Query,
    RecipientRow,
    Status,
)

_NEVER = datetime.min.replace(tzinfo=UTC)
_UNFINISHED = (Status.QUEUED, Status.DEFERRED, Status.HELD)


@dataclass(slots=True, kw_only=True)
class Slot:
    """A right to deliver to a destination."""

    ends_at: float  # monotonic
    epoch: int = 0
    owner: WorkerNumber | None = None


@dataclass(slots=True, kw_only=True)
class Recipient:
    """One row of state."""

    message_id: MessageId
    number: int
    new: NewRecipient
    next_attempt_at: datetime
    updated_at: datetime
    state: RecipientState = RecipientState.QUEUED
    lease: Lease | None = None
    attempts: int = 0
    soft_failures: int = 0
    unknown_outcomes: int = 0
    code: int | None = None  # from here on: of the last outcome
    enhanced: str | None = None
    reply: str | None = None
    reason: str | None = None
    category: Category | None = None
    bounce_class: BounceClass | None = None
    suppress: bool = False
    remote_host: str | None = None
    moved_to: str = ""  # another destination than at intake
    returned: bool = False  # mail of relayd's own to a sender
    is_late: bool = False  # bounced after it was accepted
    came_back: list[datetime] = field(default_factory=list)  # mail to its return path

    @property
    def status(self) -> Status:
        """A queued recipient that has failed at least once is deferred."""
        if self.state is RecipientState.QUEUED and self.category is not None:
            return Status.DEFERRED
        return Status(self.state.value)

    @property
    def no_mail_host_at(self) -> datetime | None:
        """When the last attempt found that the DNS knows no mail host of the domain; it had no reply."""
        is_so = self.category is Category.BAD_DOMAIN and self.code is None
        return self.updated_at if is_so else None

    @property
    def destination(self) -> str:
        return self.moved_to or self.new.destination

    def is_waiting(self) -> bool:
        return self.state is RecipientState.QUEUED and self.lease is None

    def move(self, state: RecipientState, at: datetime) -> None:
        """Leave any lease for `state`."""
        assert state in TRANSITIONS[self.state], f"{self.state} -> {state}"
        self.state, self.lease, self.updated_at = state, None, at

    def requeue(self, at: datetime) -> None:
        """Leave the lease without an outcome, to be tried at once."""
        self.lease, self.next_attempt_at = None, at


@dataclass(slots=True, kw_only=True)
class Message:
    """One message with its recipients and its history."""

    new: NewMessage
    content: Content | None
    recipients: list[Recipient]
    served_at: float  # how many seconds the queue had been served when it came in
    events: list[Event] = field(default_factory=list)

    def is_finished(self) -> bool:
        return all(recipient.state in FINAL_STATES for recipient in self.recipients)

    def drop_content(self) -> None:
        if self.is_finished():
            self.content = None


@dataclass(slots=True)
class Tables:
    """What is stored, but for leases and workers."""

    messages: dict[MessageId, Message] = field(default_factory=dict)
    paused: dict[str, datetime] = field(default_factory=dict)  # destination: until when
    paused_for: dict[str, str] = field(default_factory=dict)  # destination: why
    slots: dict[str, list[Slot]] = field(default_factory=dict)  # of destinations
    unsuppressed: dict[str, datetime] = field(default_factory=dict)  # address in lower case: since

    events: list[Event] = field(default_factory=list)  # of all messages, also of deleted ones

    def note(self, message: Message, *events: Event) -> None:
        """Add to the history."""
        message.events.extend(events)
        self.events.extend(events)

    def recipients(self, of: MessageId | None = None) -> Iterator[Recipient]:
        """Yield all recipients, or those of one message."""
        messages = self.messages.values() if of is None else filter(None, [self.messages.get(of)])
        for message in messages:
            yield from message.recipients


class MemoryView:
    """`relayd.ports.view.QueueView` on the tables of a MemoryStore."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def close(self) -> None:
        pass

    def find(
        self, query: Query, *, limit: int, before: tuple[MessageId, int] | None = None
    ) -> Sequence[RecipientRow]:
        rows = [row for row in self._rows(query.message_id) if _matches(row, query)]
        rows.sort(key=_newest_first)
        if before is not None:
            page_end = (-before[0], before[1])
            rows = [row for row in rows if _newest_first(row) > page_end]
        return rows[:limit]

    def history(self, message_id: MessageId) -> Sequence[HistoryEntry]:
        message = self._tables.messages.get(message_id)
        if message is None:
            return []
        received = list(receptions(message.new))
        return [
            HistoryEntry(
                kind=event.kind.value,
                at=event.at,
                recipient=event.recipient,
                detail={key: value for key, value in event.detail.items() if value is not None},
            )
            for event in received + message.events
        ]

    def addresses(self, query: Query, *, limit: int) -> Sequence[AddressRow]:
        groups: dict[str, list[RecipientRow]] = {}
        for row in self._rows_of_clients():
            groups.setdefault(row.address.lower(), []).append(row)
        newest = {
            address: max(matching)
            for address, rows in groups.items()
            if (matching := [row.message_id for row in rows if _matches(row, query)])
        }
        chosen = sorted(newest, key=lambda address: newest[address], reverse=True)[:limit]
        return [
            _address_row(groups[address], self._for_whom(groups[address])) for address in chosen
        ]

    def is_suppressed(self, address: str, *, sender: str = "") -> bool:
        rows = [row for row in self._rows_of_clients() if row.address.lower() == address.lower()]
        return self._suppresses(rows, sender.lower())

    def came_back(self, message_id: MessageId, recipient: int) -> Sequence[datetime]:
        message = self._tables.messages.get(message_id)
        return [] if message is None else list(message.recipients[recipient].came_back)

    def _for_whom(self, rows: Sequence[RecipientRow]) -> list[str]:
        """The senders for whom an address is suppressed; the empty one is everybody."""
        if self._suppresses(rows, ""):
            return [""]
        senders = sorted({row.reverse_path.lower() for row in rows})
        return [sender for sender in senders if self._suppresses(rows, sender)][:NAMED_SENDERS]

    def _suppresses(self, rows: Sequence[RecipientRow], sender: str) -> bool:
        """Whether all that happened to one address speaks against it, for mail of `sender`."""
        counted = [
            row
            for row in rows
            if row.status is Status.BOUNCED
            and row.updated_at > self._tables.unsuppressed.get(row.address.lower(), _NEVER)
            and (not self._is_late(row) or row.reverse_path.lower() == sender)
        ]
        inactive = {row.message_id for row in counted if row.category is Category.INACTIVE_MAILBOX}
        return any(row.suppress for row in counted) or len(inactive) >= INACTIVE_BOUNCES

    def _is_late(self, row: RecipientRow) -> bool:
        return self._tables.messages[row.message_id].recipients[row.recipient].is_late

    def counts(self) -> Counts:
        by_status: dict[Status, int] = {}
        by_destination: dict[str, int] = {}
        oldest: dict[str, datetime] = {}
        paused: dict[str, datetime] = {}
        for row in self.find(Query(unfinished=True), limit=len(list(self._rows()))):
            by_status[row.status] = by_status.get(row.status, 0) + 1
            by_destination[row.destination] = by_destination.get(row.destination, 0) + 1
            if row.paused_until is not None:
                paused[row.destination] = row.paused_until
            if row.status is Status.HELD:
                continue
            received_at = received_at_of(row.message_id)
            oldest[row.destination] = min(oldest.get(row.destination, received_at), received_at)
        return Counts(
            by_status=by_status, by_destination=by_destination, oldest=oldest, paused_until=paused
        )

    def latest(self, limit: int) -> Sequence[LatestEvent]:
        rows = {(row.message_id, row.recipient): row for row in self._rows()}
        events = [
            LatestEvent(
                message_id=event.message_id,
                address=rows[event.message_id, event.recipient].address,
                destination=rows[event.message_id, event.recipient].destination,
                kind=event.kind.value,
                at=event.at,
                detail={key: value for key, value in event.detail.items() if value is not None},
            )
            for event in reversed(self._tables.events)
            if event.message_id in self._tables.messages
        ]
        return events[:limit]

    def _rows(self, of: MessageId | None = None) -> Iterator[RecipientRow]:
        return map(self._row, self._tables.recipients(of))

    def _rows_of_clients(self) -> Iterator[RecipientRow]:
        return (self._row(one) for one in self._tables.recipients() if not one.returned)

    def _row(self, recipient: Recipient) -> RecipientRow:
        return _row(self._tables.messages[recipient.message_id].new, recipient, self._tables)


def queued_message(new: NewMessage) -> QueuedMessage:
    return QueuedMessage(
        id=new.id,
        received_at=new.received_at,
        reverse_path=_reverse_path(new),
        parameters=new.parameters,
        size=len(new.content),
        message_id_header=new.facts.message_id_header,
        tag=new.facts.tag,
        is_test=new.facts.is_test,
        is_8bit=new.facts.is_8bit,
        utf8_headers=new.facts.utf8_headers,
        is_report=new.is_report,
        account=new.client.account,
    )


def queued_recipient(recipient: Recipient) -> QueuedRecipient:
    return QueuedRecipient(
        number=recipient.number,
        address=str(recipient.new.address),
        parameters=recipient.new.parameters,
        attempt=recipient.attempts,
        soft_failures=recipient.soft_failures,
        unknown_outcomes=recipient.unknown_outcomes,
        no_mail_host_at=recipient.no_mail_host_at,
    )


def _reverse_path(new: NewMessage) -> str:
    return "" if new.reverse_path is None else str(new.reverse_path)


def _row(new: NewMessage, recipient: Recipient, tables: Tables) -> RecipientRow:
    destination = recipient.destination
    return RecipientRow(
        message_id=new.id,
        recipient=recipient.number,
        received_at=new.received_at,
        reverse_path=_reverse_path(new),
        address=str(recipient.new.address),
        status=recipient.status,
        destination=destination,
        size=len(new.content),
        message_id_header=new.facts.message_id_header,
        tag=new.facts.tag,
        client_ip=new.client.ip,
        auth_user=new.client.auth_user,
        attempts=recipient.attempts,
        next_attempt_at=recipient.next_attempt_at
        if recipient.state is RecipientState.QUEUED
        else None,
        leased=recipient.lease is not None,
        possible_duplicate=recipient.unknown_outcomes > 0,
        code=recipient.code,
        enhanced=recipient.enhanced,
        reply=recipient.reply,
        reason=recipient.reason,
        category=recipient.category,
        bounce_class=recipient.bounce_class,
        suppress=recipient.suppress,
        remote_host=recipient.remote_host,
        updated_at=recipient.updated_at,
        paused_until=tables.paused.get(destination),
        paused_for=tables.paused_for.get(destination, ""),
        served=any(slot.owner is not None for slot in tables.slots.get(destination, ())),
    )


def _address_row(rows: Sequence[RecipientRow], for_whom: Sequence[str]) -> AddressRow:
    last = max(rows, key=attrgetter("message_id", "recipient"))
    bounced = [row for row in rows if row.status is Status.BOUNCED]
    hard = sum(row.bounce_class is BounceClass.HARD for row in bounced)
    return AddressRow(
        address=last.address,
        messages=len({row.message_id for row in rows}),
        hard_bounces=hard,
        other_bounces=len(bounced) - hard,
        last_status=last.status,
        last_at=last.updated_at,
        last_reply=last.reply or last.reason,
        suppress=bool(for_whom),
        suppress_for=tuple(filter(None, for_whom)),
    )


def _newest_first(row: RecipientRow) -> tuple[int, int]:
    return -row.message_id, row.recipient


def _matches(row: RecipientRow, query: Query) -> bool:
    texts = (
        (query.recipient, row.address),
        (query.domain, row.address.rpartition("@")[2]),
        (query.sender, row.reverse_path),
        (query.tag, row.tag),
        (_bare(query.message_id_header), _bare(row.message_id_header)),
    )
    values = (
        (query.message_id, row.message_id),
        (query.status, row.status),
        (query.bounce_class, row.bounce_class),
        (query.category, row.category),
    )
    return (
        all(
            want is None or (got is not None and want.lower() == got.lower()) for want, got in texts
        )
        and all(want is None or want == got for want, got in values)
        and (query.since is None or row.received_at >= query.since)
        and (query.until is None or row.received_at < query.until)
        and (not query.unfinished or row.status in _UNFINISHED)
    )


def _bare(message_id_header: str | None) -> str | None:
    return None if message_id_header is None else message_id_header.strip("<>")

"""What the store in memory holds: messages with their recipients and history, slots, pauses.

Owns which changes of state are possible, by `TRANSITIONS`. Leaves when they happen to the verbs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, NewRecipient
from relayd.mail.event import Event, subject_of
from relayd.mail.ids import MessageId, WorkerNumber
from relayd.mail.once import FirstMessage
from relayd.mail.outcome import FINAL_STATES, RecipientState, states_before
from relayd.mail.pause import PauseRule
from relayd.mail.suppression import Suppression
from relayd.mail.tls_count import CountedSession
from relayd.mail.words import BounceClass, Category, status_of
from relayd.policy.accounts.state import AccountState
from relayd.policy.console.webhook import NEVER, Standing
from relayd.policy.tls.sts import StsEntry
from relayd.ports.outbox import (
    UNFINISHED,
    DeliveryState,
    EndpointId,
    Heard,
    Subscription,
)
from relayd.ports.queue import Lease
from relayd.ports.view import Status
from relayd.store.memory.people import PeopleTables
from relayd.store.memory.shares import ShareTable
from relayd.store.memory.sites import SiteTables

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    redirected_to: str | None = None
    moved_to: str = ""  # another destination than at intake
    chosen_by: str = ""  # the entry of the settings that chose its way
    returned: bool = False  # mail of relayd's own to a sender
    stopped_by: int = 0  # the number of a pause rule; 0: none
    uncounted: float = (
        0.0  # seconds that are no part of its age; less what was served, while held or stopped
    )
    requeued_as: MessageId | None = None
    is_extra: bool = False  # an operator asked for its next attempt
    came_back: list[datetime] = field(default_factory=list)  # mail to its return path

    @property
    def status(self) -> Status:
        return Status(status_of(self.state, has_failed=self.category is not None))

    @property
    def no_mail_host_at(self) -> datetime | None:
        """When the last attempt found that the DNS knows no mail host of the domain; it had no reply."""
        is_so = self.category is Category.BAD_DOMAIN and self.code is None
        return self.updated_at if is_so else None

    @property
    def destination(self) -> str:
        return self.moved_to or self.new.destination

    def is_waiting(self) -> bool:
        return self.state is RecipientState.QUEUED and self.lease is None and not self.stopped_by

    def may_become(
        self, state: RecipientState, among: Iterable[RecipientState] = RecipientState
    ) -> bool:
        """Tell whether `TRANSITIONS` allows `state` now, and the present one is of those in `among`."""
        return self.state in states_before(state, among)

    def move(self, state: RecipientState, at: datetime) -> None:
        """Leave any lease for `state`. The caller knows that it may."""
        assert self.may_become(state), f"{self.state} -> {state}"
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
    kept_since: datetime | None = None  # when it bounced, while its content is kept for that

    def is_finished(self) -> bool:
        return all(recipient.state in FINAL_STATES for recipient in self.recipients)

    def drop_content(self) -> None:
        if self.is_finished() and self.kept_since is None:
            self.content = None


@dataclass(slots=True, kw_only=True)
class TheEndpoint:
    """An endpoint with how it is doing. Instants of its standing are milliseconds that were served."""

    wanted: Subscription
    created_at: datetime
    standing: Standing = field(default_factory=Standing)
    generation: int = 1
    rotated_at: int | None = None
    claimed_at: int = NEVER
    last: Heard | None = None
    last_at: datetime | None = None
    ok_at: datetime | None = None

    def is_told(self, event: Event, message: NewMessage) -> bool:
        wanted, tag = self.wanted, message.facts.tag
        sender = str(message.reverse_path or "").lower()
        senders = [each.lower() for each in wanted.senders]
        return (
            event.kind in wanted.kinds
            and (not senders or any(_is_of(sender, each) for each in senders))
            and (
                not wanted.tags
                or (tag is not None and tag.lower() in {each.lower() for each in wanted.tags})
            )
        )


def _is_of(sender: str, wanted: str) -> bool:
    return sender.endswith(wanted) if wanted.startswith("@") else sender == wanted


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One event for one endpoint, or a test."""

    endpoint: EndpointId
    number: int
    at: datetime
    event: Event | None
    state: DeliveryState = DeliveryState.WAITING
    next_at: int = NEVER
    claims: int = 0
    claimed_at: int = NEVER
    refusals: int = 0
    last: Heard | None = None
    last_at: datetime | None = None

    @property
    def line(self) -> tuple[int, int, int]:
        """What deliveries have in common that go one after the other; tests wait for nobody."""
        if self.event is None:
            return self.endpoint, self.number, 0
        return self.endpoint, self.event.message_id, self.event.recipient


@dataclass(slots=True)
class Tables:
    """What is stored, but for leases and workers."""

    messages: dict[MessageId, Message] = field(default_factory=dict)
    paused: dict[str, datetime] = field(default_factory=dict)  # destination: until when
    paused_for: dict[str, str] = field(default_factory=dict)  # destination: why
    left_at: dict[str, datetime] = field(default_factory=dict)  # destination with a backlog: when
    slots: dict[str, list[Slot]] = field(default_factory=dict)  # of destinations
    suppressing: dict[str, list[Suppression]] = field(default_factory=dict)  # key of an address
    last_rule: int = 0
    pause_rules: dict[int, PauseRule] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)  # of all messages, also of deleted ones
    noted: list[tuple[Message, Event]] = field(default_factory=list)  # those that may count
    kept_from: datetime | None = None  # before that none counts any more
    people: PeopleTables = field(default_factory=PeopleTables)
    permits: dict[str, AccountState] = field(default_factory=dict)  # by account
    sites: SiteTables = field(default_factory=SiteTables)
    shares: ShareTable = field(default_factory=dict)
    sts_policies: dict[str, StsEntry] = field(default_factory=dict)  # by domain
    tls_counts: dict[CountedSession, int] = field(default_factory=dict)
    once: dict[bytes, tuple[FirstMessage, float]] = field(default_factory=dict)  # since when served

    endpoints: dict[EndpointId, TheEndpoint] = field(default_factory=dict)
    last_endpoint: int = 0
    first_served_at: datetime = _EPOCH  # by the clock as it is now
    deliveries: dict[tuple[EndpointId, int], Delivery] = field(default_factory=dict)

    def note(self, message: Message, *events: Event) -> None:
        """Add to the history, and to what endpoints are told of it."""
        for event in events:
            message.events.append(event)
            self.events.append(event)
            self.noted.append((message, event))
            for endpoint, each in self.endpoints.items():
                if each.is_told(event, message.new):
                    self._tell(endpoint, message, event)

    def _tell(self, endpoint: EndpointId, message: Message, event: Event) -> None:
        subject = subject_of(message.new, event.recipient)
        new = Delivery(
            endpoint=endpoint,
            number=len(self.events),
            at=event.at,
            event=replace(event, subject=subject),
        )
        self.deliveries[endpoint, new.number] = new
        self.line_up(new)

    def line_up(self, delivery: Delivery) -> None:
        """Let the first unfinished delivery of a recipient wait, and those of later events behind it."""
        line = [
            each
            for _, each in sorted(self.deliveries.items())
            if each.state in UNFINISHED and each.line == delivery.line
        ]
        is_free = all(each.state is not DeliveryState.SENDING for each in line)
        for each in line:
            if each.state is not DeliveryState.SENDING:
                each.state = DeliveryState.WAITING if is_free else DeliveryState.BEHIND
            is_free = False

    def pause(self, destination: str, until: datetime, why: str) -> None:
        self.paused[destination], self.paused_for[destination] = until, why

    def resume(self, destination: str) -> None:
        self.paused.pop(destination, None)
        self.paused_for.pop(destination, None)

    def recipients(self, of: MessageId | None = None) -> Iterator[Recipient]:
        """Yield all recipients, or those of one message."""
        messages = self.messages.values() if of is None else filter(None, [self.messages.get(of)])
        for message in messages:
            yield from message.recipients

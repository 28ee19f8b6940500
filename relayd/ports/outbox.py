"""The outbox: what applications are told by webhooks, from the event to the receiver's answer.

A delivery is one event for one endpoint. Its row is written in the transaction of the event: nothing is told
that did not happen, and nothing that happened is forgotten. What is sent is made of the event itself, so it
is gone with the history of its message. A person may have a test sent, which is a delivery of no event.

Deliveries of one recipient go to an endpoint one after the other, in the order of their events: the next
waits until the one before is done or given up. Those of other recipients pass it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NewType, Protocol

from relayd.mail.ids import format_id, received_at_of
from relayd.mail.words import EventKind
from relayd.policy.console.webhook import Answer, Off, Result

if TYPE_CHECKING:  # the commands that only name an endpoint need none of it
    from relayd.mail.envelope import NewMessage
    from relayd.mail.event import Event
    from relayd.ports.people import Author

EndpointId = NewType("EndpointId", int)
"""Given by the store, and never again."""

TOLD = (
    EventKind.SENT,
    EventKind.RELAYED,
    EventKind.DEFERRED,
    EventKind.BOUNCED,
    EventKind.LATE_BOUNCED,
    EventKind.COMPLAINED,
    EventKind.DELIVERED_DSN,
    EventKind.HELD,
    EventKind.RELEASED,
    EventKind.EXPEDITED,
    EventKind.DROPPED,
)
"""The events that an endpoint may be told."""

REPLAYED_AT_ONCE = 10_000  # deliveries


class Action(StrEnum):
    """What the audit tells of endpoints. Stored: the spelling stays."""

    ADDED = "webhook_added"
    CHANGED = "webhook_changed"
    REMOVED = "webhook_removed"
    ROTATED = "webhook_rotated"
    TESTED = "webhook_tested"
    REPLAYED = "webhook_replayed"


class DeliveryState(StrEnum):
    """Where a delivery is."""

    WAITING = "waiting"
    BEHIND = "behind"  # an earlier one of its recipient is not finished
    SENDING = "sending"
    DONE = "done"
    FAILED = "failed"


UNFINISHED = (DeliveryState.WAITING, DeliveryState.BEHIND, DeliveryState.SENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a person says of an endpoint."""

    url: str
    kinds: tuple[EventKind, ...]
    senders: tuple[str, ...] = ()  # reverse-paths, or `@domain`; none: of whatever sender
    tags: tuple[str, ...] = ()  # none: whatever tag, or none
    is_on: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionChange:
    """What is to be said otherwise of an endpoint; None: as before."""

    url: str | None = None
    kinds: tuple[EventKind, ...] | None = None
    senders: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    is_on: bool | None = None

    def of(self, before: Subscription) -> Subscription:
        """Return what is said of the endpoint after the change."""
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        return replace(before, **{name: value for name, value in given if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A delivery that is leased, with all that is needed to send it."""

    endpoint: EndpointId
    number: int  # of the event; below 0: a test
    claim: int  # which one of this delivery: an older one's result counts no more
    url: str
    generations: tuple[int, ...]  # of the secrets to sign with, the newest first
    at: datetime  # of the event, or of the test
    event: "Event | None"  # with its subject; None: a test

    @property
    def webhook_id(self) -> str:
        return webhook_id(self.endpoint, self.number, self.at, self.event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was heard of a receiver. What its answer says beyond that is kept nowhere."""

    status: int | None = None  # None: there was no answer
    trouble: str = ""  # why there was none
    octets: int = 0  # of the answer, as far as they were read
    took: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryResult:
    """What became of a delivery in one try."""

    endpoint: EndpointId
    number: int
    claim: int
    heard: Heard
    retry_after: timedelta | None = None  # that the receiver asks for

    @property
    def answer(self) -> Answer:
        return Answer(status=self.heard.status, retry_after=self.retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a result led to, as recorded."""

    endpoint: EndpointId
    number: int
    result: Result
    disabled: Off = Off.NO  # why this result disabled the endpoint
    mail: "NewMessage | None" = None  # about that, which is queued


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Which finished deliveries of an endpoint are sent again: all, or those that match."""

    endpoint: EndpointId
    number: int | None = None
    since: datetime | None = None  # events at or after
    until: datetime | None = None  # events before
    only_failed: bool = False
    after: int = 0  # deliveries of later events only: where the last call ended
    limit: int = REPLAYED_AT_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many are sent again, and where to go on."""

    changed: int
    more: int | None = None  # `after` of the next call; None: that was all


class Outbox(Protocol):
    """The outbox as workers use it. Each verb is one transaction; they raise as those of QueueStore do.

    What has an author is in the audit, in the same transaction.
    """

    async def claim_deliveries(self, limit: int, *, lease_for: timedelta) -> Sequence[Outgoing]:
        """Lease what is due, so many at most, and at most eight on their way to one endpoint.

        To an endpoint whose rest is over one goes first; to one that rests or is disabled none but tests.
        Leases end by a count that no clock can move; what is not settled by then is sent again. Who was
        served last is served after the others.
        """
        ...

    async def settle_deliveries(
        self,
        results: Sequence[DeliveryResult],
        *,
        jitter: float,
        tell: "TellsDisabled | None" = None,
    ) -> Sequence[Settled]:
        """Record what became of deliveries; return what was recorded. `jitter` is from 0 up to 1.

        When a result disables an endpoint, `tell` is asked for a mail about it, which is queued in the same
        transaction: so there is one for each time, whatever crashes.
        What is no longer leased under that claim is passed over, so a call may be repeated. The rules are
        those of `relayd.policy.console.webhook`.
        """
        ...

    async def replay(self, wanted: Replay, *, author: "Author") -> Replayed:
        """Send finished deliveries again, under the same ids."""
        ...

    async def put_endpoint(
        self, wanted: Subscription, endpoint: EndpointId | None = None, *, author: "Author"
    ) -> EndpointId | None:
        """Add an endpoint, or change one; None if there is none with that number.

        It is told what happens from now on. One that is taken into use again begins as a new one; while it is
        off, what it would be told waits.
        """
        ...

    async def change_endpoint(
        self, endpoint: EndpointId, change: SubscriptionChange, *, author: "Author"
    ) -> bool:
        """Change what is named of an endpoint, as `put_endpoint` does; False if there is none with that number.

        What two change at once is both changed, unless it is the same.
        """
        ...

    async def drop_endpoint(self, endpoint: EndpointId, *, author: "Author") -> bool:
        """Forget an endpoint with all its deliveries; False if there is none with that number."""
        ...

    async def rotate(self, endpoint: EndpointId, *, author: "Author") -> int | None:
        """Begin a new generation of secrets, and return it; None without such an endpoint.

        The one before is used beside it for 24 hours.
        """
        ...

    async def send_test(self, endpoint: EndpointId, *, author: "Author") -> int | None:
        """Have a test sent, ahead of all else; return its number, None without such an endpoint."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint as people see it. Instants are those of the clock as it was when last looked at."""

    id: EndpointId
    wanted: Subscription
    created_at: datetime
    generation: int
    off: Off = Off.NO
    failures: int = 0  # in a row
    failing_since: datetime | None = None
    rests_until: datetime | None = None  # may be over
    last_ok_at: datetime | None = None
    last_at: datetime | None = None  # of the last answer, or of what came in its place
    last: Heard | None = None
    waiting: int = 0
    oldest: datetime | None = None  # event of which the delivery is not finished
    failed: int = 0


TellsDisabled = Callable[[Endpoint], "NewMessage"]
"""Makes the mail about an endpoint that has just been disabled; may be called on a thread of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A delivery as people see it."""

    endpoint: EndpointId
    number: int
    at: datetime
    state: DeliveryState
    tries: int
    event: "Event | None"  # with its subject; None: a test
    last_at: datetime | None = None  # when it was sent last
    last: Heard | None = None  # None: nothing was heard yet
    next_at: datetime | None = None  # when it is due, if that was put off

    @property
    def webhook_id(self) -> str:
        return webhook_id(self.endpoint, self.number, self.at, self.event)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryQuery:
    """Which deliveries are meant."""

    endpoint: EndpointId
    states: tuple[DeliveryState, ...] = ()  # none: whatever state
    before: int | None = None  # only of events with lower numbers: the page before ended there
    after: int | None = (
        None  # the earliest of events with higher numbers: the page after begins there
    )
    limit: int = 50


class OutboxView(Protocol):
    """The outbox as questions see it: read-only, from any process. May raise StoreUnavailable."""

    def endpoints(self, *, most: int | None = None) -> Sequence[Endpoint]:
        """Return all endpoints, the oldest first, with what waits for each and what failed.

        With `most` either is counted up to one more than that, and `oldest` is of the deliveries that were counted:
        those of the oldest messages.
        """
        ...

    def deliveries(self, query: DeliveryQuery) -> Sequence[DeliveryRow]:
        """Return deliveries, those of the latest events first."""
        ...


_OF_EVENT = re.compile(r"evt_[0-9A-Z]{13}_([1-9][0-9]{0,15})_[0-9]+")


def number_in(webhook_id: str) -> int | None:
    """Return the number of the event in such an id; None for one of a test, and what is none."""
    found = _OF_EVENT.fullmatch(webhook_id)
    return None if found is None else int(found[1])


def webhook_id(endpoint: EndpointId, number: int, at: datetime, event: "Event | None") -> str:
    """Return the id by which a receiver knows a delivery again; the same at every try.

    Numbers of events may come again after a restore: the instant tells those apart.
    """
    if event is None:
        return f"evt_test_{endpoint}_{-number}_{int(at.timestamp() * 1000)}"
    since = (at - received_at_of(event.message_id)) // timedelta(milliseconds=1)
    return f"evt_{format_id(event.message_id)}_{number}_{since}"

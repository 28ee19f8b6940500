"""The seams: what the parts of a worker expect of each other, as Protocols and the values they pass.

`queue` is the store as workers use it, `view` as questions see it, `outward` the world outside.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from relayd.mail.envelope import NewMessage, QueuedMessage
from relayd.mail.event import Detail, Event
from relayd.ports.outward import (
    Connection,
    Delivery,
    Resolver,
    SessionFailed,
    Target,
    Transport,
)
from relayd.ports.queue import (
    Acted,
    Action,
    LateNotice,
    Lease,
    QueueStore,
    ReportGivenUp,
    Settlement,
    Spool,
    Work,
)
from relayd.ports.view import (
    INACTIVE_BOUNCES,
    UNFINISHED,
    AddressRow,
    Counts,
    HistoryEntry,
    LatestEvent,
    Query,
    QueueView,
    RecipientRow,
    Status,
)

if TYPE_CHECKING:  # a command that only asks pays for none of it
    from relayd.policy.content import Verdict

__all__ = [
    "INACTIVE_BOUNCES",
    "UNFINISHED",
    "Acted",
    "Action",
    "AddressRow",
    "Clock",
    "Connection",
    "ContentChecker",
    "Counts",
    "Delivery",
    "EventSink",
    "HistoryEntry",
    "LateNotice",
    "LatestEvent",
    "Lease",
    "Query",
    "QueueStore",
    "QueueView",
    "RecipientRow",
    "ReportGivenUp",
    "Resolver",
    "SessionFailed",
    "Settlement",
    "Spool",
    "Status",
    "Target",
    "Transport",
    "Work",
]


class Clock(Protocol):
    """Where instants come from; tests inject their own."""

    def now(self) -> datetime:
        """Return the wall clock as an aware UTC datetime."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for durations inside this process."""
        ...


class ContentChecker(Protocol):
    """What decides about a complete message by its content."""

    async def judge(self, message: NewMessage) -> "Verdict":
        """Return what becomes of the message. Bounded in time; never raises for what the checker does."""
        ...


class EventSink(Protocol):
    """Where events go after their commit: the status log. Never raises, never drops a line."""

    def received(self, message: NewMessage) -> None:
        """Note a line for each recipient of a message that is durable now."""
        ...

    def record(self, event: Event, message: QueuedMessage, address: str) -> None:
        """Note one event of one recipient."""
        ...

    def refused(self, at: datetime, detail: Detail) -> None:
        """Note that a client was refused: there is no message to speak of."""
        ...

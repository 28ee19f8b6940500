"""An operator's verbs on queued mail: to what each applies, where it leads, and how it is recorded (S-20).

Every store reads this table and makes these events. `hold`, `bounce` and `drop` take a leased recipient out of its
lease: the attempt runs on, nobody hears of its outcome, and the recipient is marked as a possible duplicate (S-07).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from relayd.mail.event import Event, Subject
from relayd.mail.ids import MessageId
from relayd.mail.outcome import RecipientState
from relayd.mail.words import BounceClass, Category, EventKind, Fault, JsonValue, status_of


class Action(StrEnum):
    """An operator's verb on queued mail."""

    HOLD = "hold"
    RELEASE = "release"
    EXPEDITE = "expedite"
    BOUNCE = "bounce"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Act:
    """What a verb does."""

    applies_to: tuple[RecipientState, ...]  # as far as `TRANSITIONS` allows `leads_to` after them
    leads_to: RecipientState
    kind: EventKind
    spares_leased: bool = False  # a recipient whose attempt is running is left alone


_QUEUED, _HELD = RecipientState.QUEUED, RecipientState.HELD

ACTS: Mapping[Action, Act] = MappingProxyType(
    {
        Action.HOLD: Act((_QUEUED,), _HELD, EventKind.HELD),
        Action.RELEASE: Act((_HELD,), _QUEUED, EventKind.RELEASED),
        Action.EXPEDITE: Act((_QUEUED,), _QUEUED, EventKind.EXPEDITED, spares_leased=True),
        Action.BOUNCE: Act((_QUEUED, _HELD), RecipientState.BOUNCED, EventKind.BOUNCED),
        Action.DROP: Act((_QUEUED, _HELD), RecipientState.DROPPED, EventKind.DROPPED),
    }
)
BOUNCED_AS = (BounceClass.BLOCK, Category.POLICY)
"""What is kept of a bounce by an operator: it says nothing about the address."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts on what, and why."""

    action: Action
    by: str
    reason: str
    at: datetime

    def event(
        self, message_id: MessageId, recipient: int, subject: Subject, *, has_failed: bool
    ) -> Event:
        """Return the event of one recipient; `has_failed` as for `status_of`."""
        act = ACTS[self.action]
        detail: dict[str, JsonValue] = {
            "by": self.by,
            "reason": self.reason,
            "status": status_of(act.leads_to, has_failed=has_failed),
        }
        if self.action is Action.BOUNCE:
            bounce_class, category = BOUNCED_AS
            detail["bounce_class"] = bounce_class.value
            detail["category"] = category.value
            detail["fault"] = Fault.POLICY.value
            detail["suppress"] = False
        return Event(
            kind=act.kind,
            at=self.at,
            message_id=message_id,
            recipient=recipient,
            detail=detail,
            subject=subject,
        )


@dataclass(frozen=True, slots=True)
class ReadBy:
    """Who reads the content of a message, and why."""

    by: str
    reason: str
    at: datetime

    def event(self, message_id: MessageId, recipient: int, subject: Subject) -> Event:
        """Return the event of one recipient; the status stays."""
        return Event(
            kind=EventKind.READ,
            at=self.at,
            message_id=message_id,
            recipient=recipient,
            detail={"by": self.by, "reason": self.reason},
            subject=subject,
        )

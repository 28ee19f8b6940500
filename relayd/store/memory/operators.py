"""What operators do to recipients, and the reports on what they gave up."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event, subject_of
from relayd.mail.ids import MessageId
from relayd.mail.outcome import RecipientState
from relayd.mail.words import BounceClass, Category, EventKind, Fault, JsonValue
from relayd.ports.queue import Action, ReportGivenUp
from relayd.ports.view import RecipientRow
from relayd.store.memory.messages import queued
from relayd.store.memory.rows import queued_recipient
from relayd.store.memory.tables import Recipient, Tables

_QUEUED, _HELD = RecipientState.QUEUED, RecipientState.HELD
# From which states an operator's verb takes effect, where it leads, and how it is recorded.
_ACTS = {
    Action.HOLD: ((_QUEUED,), _HELD, EventKind.HELD),
    Action.RELEASE: ((_HELD,), _QUEUED, EventKind.RELEASED),
    Action.EXPEDITE: ((_QUEUED,), _QUEUED, EventKind.EXPEDITED),
    Action.BOUNCE: ((_QUEUED, _HELD), RecipientState.BOUNCED, EventKind.BOUNCED),
    Action.DROP: ((_QUEUED, _HELD), RecipientState.DROPPED, EventKind.DROPPED),
}


def act(
    tables: Tables,
    rows: Iterable[RecipientRow],
    action: Action,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> list[Event]:
    """Act on those of the recipients for whom it has an effect; return one event for each."""
    events = []
    for row in rows:
        message = tables.messages[row.message_id]
        recipient = message.recipients[row.recipient]
        if recipient.state not in _ACTS[action][0]:
            continue
        if action is Action.EXPEDITE:
            if recipient.lease is not None:
                continue
            tables.resume(recipient.destination)
        event = _act_on(recipient, action, at=at, by=by, reason=reason)
        event = replace(event, subject=subject_of(message.new, recipient.number))
        tables.note(message, event)
        events.append(event)
    return events


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


def reports(
    tables: Tables, bounced: Sequence[Event], report: ReportGivenUp, *, reason: str, served: float
) -> list[NewMessage]:
    """Return what `report` composes, for each message of those events."""
    given_up: dict[MessageId, list[Recipient]] = {}
    for event in bounced:
        recipient = tables.messages[event.message_id].recipients[event.recipient]
        given_up.setdefault(event.message_id, []).append(recipient)
    composed = []
    for message_id, those in given_up.items():
        message = tables.messages[message_id]
        recipients = [queued_recipient(one) for one in sorted(those, key=attrgetter("number"))]
        queued_one = queued(message, served=served)
        composed.append(report(queued_one, recipients, message.content or b"", reason))
    return [one for one in composed if one is not None]

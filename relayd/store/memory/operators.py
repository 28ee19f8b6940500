"""What operators do to recipients, and the reports on what they gave up."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from operator import attrgetter

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event, subject_of
from relayd.mail.ids import MessageId
from relayd.mail.operator import ACTS, BOUNCED_AS, Action, Operator
from relayd.mail.outcome import RecipientState
from relayd.policy.delivery.retry import LastRetry
from relayd.ports.queue import Foreseen, ReportGivenUp
from relayd.ports.view import RecipientRow, Target
from relayd.store.memory.messages import queued
from relayd.store.memory.rows import queued_recipient
from relayd.store.memory.tables import Recipient, Tables


def act(
    tables: Tables, rows: Iterable[RecipientRow], operator: Operator, *, served: float
) -> list[Event]:
    """Act on those of the recipients for whom it has an effect; return one event for each."""
    events = []
    for row in rows:
        message = tables.messages[row.message_id]
        recipient = message.recipients[row.recipient]
        if not _applies(operator.action, recipient):
            continue
        has_failed = recipient.category is not None
        _apply(tables, recipient, operator, served=served)
        event = operator.event(
            row.message_id,
            row.recipient,
            subject_of(message.new, row.recipient),
            has_failed=has_failed,
        )
        tables.note(message, event)
        events.append(event)
    return events


def foresee(
    tables: Tables,
    rows: Sequence[RecipientRow],
    action: Action,
    *,
    last: LastRetry,
    served: float,
) -> Foreseen:
    """Count those of the recipients for whom a verb has an effect, and name them."""
    those = [(row, tables.messages[row.message_id].recipients[row.recipient]) for row in rows]
    changed = [(row, one) for row, one in those if _applies(action, one)]
    return Foreseen(
        matched=len(those),
        changed=len(changed),
        last_retry=sum(_has_used(last, tables, one, served) for _, one in changed),
        targets=tuple(Target(row.message_id, row.recipient, row.address) for row, _ in changed),
    )


def _has_used(last: LastRetry, tables: Tables, recipient: Recipient, served: float) -> bool:
    message = tables.messages[recipient.message_id]
    is_away = recipient.state is RecipientState.HELD or recipient.stopped_by
    until = 0.0 if is_away else served  # while it is away, what was served is in `uncounted`
    return last.is_used(
        soft_failures=recipient.soft_failures,
        unknown_outcomes=recipient.unknown_outcomes,
        age=timedelta(seconds=until - message.served_at - recipient.uncounted),
        is_report=message.new.is_report,
    )


def _applies(action: Action, recipient: Recipient) -> bool:
    act = ACTS[action]
    is_spared = act.spares_leased and recipient.lease is not None
    return recipient.may_become(act.leads_to, act.applies_to) and not is_spared


def _apply(tables: Tables, recipient: Recipient, operator: Operator, *, served: float) -> None:
    if recipient.lease is not None:  # that attempt runs on, unheard
        recipient.unknown_outcomes = max(recipient.unknown_outcomes, 1)
    recipient.move(ACTS[operator.action].leads_to, operator.at)
    recipient.next_attempt_at = operator.at
    if operator.action is Action.HOLD and not recipient.stopped_by:
        recipient.uncounted -= served
    if operator.action is not Action.EXPEDITE:
        recipient.stopped_by = 0
    if operator.action is Action.RELEASE:
        recipient.uncounted += served
    if ACTS[operator.action].leads_to is RecipientState.QUEUED:
        recipient.is_extra = True
    if operator.action is Action.EXPEDITE:
        tables.resume(recipient.destination)
    if operator.action is Action.BOUNCE:
        recipient.bounce_class, recipient.category = BOUNCED_AS
        recipient.reason, recipient.suppress = operator.reason, False
        recipient.code = recipient.enhanced = recipient.reply = None


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

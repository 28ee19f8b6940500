"""New messages of bounced ones."""

from collections.abc import Callable, Sequence
from itertools import groupby

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.requeue import Candidate, Original, requeue_events
from relayd.ports.requeue import Requeue, Requeued
from relayd.ports.view import RecipientRow
from relayd.store.memory.messages import queued
from relayd.store.memory.rows import queued_recipient
from relayd.store.memory.tables import Tables


def candidates(
    tables: Tables, rows: Sequence[RecipientRow], is_suppressed: Callable[[RecipientRow], bool]
) -> list[Candidate]:
    """Return what there is to know of bounced recipients."""
    found = []
    for row in rows:
        message = tables.messages[row.message_id]
        found.append(
            Candidate(
                message_id=row.message_id,
                number=row.recipient,
                address=row.address,
                octets=None if message.content is None else len(message.content),
                is_requeued=message.recipients[row.recipient].requeued_as is not None,
                is_suppressed=is_suppressed(row),
            )
        )
    return found


def requeue(
    tables: Tables,
    found: Sequence[Candidate],
    how: Requeue,
    add: Callable[[NewMessage], object],
    *,
    served: float,
) -> Requeued:
    """Write a new message for each old one, for those of its recipients that are not left."""
    wanted = sorted((one.message_id, one.number) for one in found if how.why_left(one) is None)
    new: list[NewMessage] = []
    events: list[Event] = []
    for message_id, group in groupby(wanted, key=lambda place: place[0]):
        numbers = [number for _, number in group]
        message = tables.messages[message_id]
        recipients = [queued_recipient(message.recipients[number]) for number in numbers]
        original = Original(
            message=queued(message, served=served),
            recipients=recipients,
            client=message.new.client,
            content=message.content or b"",
            subject=message.new.facts.subject,
        )
        again = how.send_again(original)
        add(again)
        for number in numbers:
            message.recipients[number].requeued_as = again.id
        new.append(again)
        events += requeue_events(message_id, numbers, again, by=how.by, reason=how.reason)
    for event in events:
        tables.note(tables.messages[event.message_id], event)
    return Requeued(counts=how.counts_of(found), messages=tuple(new), events=tuple(events))

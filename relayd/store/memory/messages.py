"""Messages as they come in, and as they go out to be delivered."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from relayd.mail.envelope import NewMessage, QueuedMessage, queued_message
from relayd.mail.event import first_events
from relayd.mail.ids import MessageId
from relayd.mail.outcome import RecipientState
from relayd.ports.queue import Lease, Work
from relayd.store.memory.rows import queued_recipient
from relayd.store.memory.tables import Message, Recipient, Tables


def insert(
    tables: Tables, message: NewMessage, *, served: float, is_returned: bool = False
) -> list[Recipient]:
    """Write a message that came in when the queue had been served for so many seconds."""
    assert message.id not in tables.messages, "ids are unique"
    recipients = [
        Recipient(
            message_id=message.id,
            number=number,
            new=new,
            next_attempt_at=message.not_before or message.received_at,
            updated_at=message.received_at,
            state=RecipientState.HELD if message.is_held else RecipientState.QUEUED,
            returned=is_returned,
            chosen_by=new.chosen_by,
            uncounted=-served if message.is_held else 0.0,
        )
        for number, new in enumerate(message.recipients)
    ]
    stored = Message(
        new=message,
        content=message.content,
        recipients=recipients,
        served_at=served,
    )
    tables.messages[message.id] = stored
    tables.note(stored, *first_events(message))
    return recipients


def queued(message: Message, *, served: float) -> QueuedMessage:
    """Return a message as the deliverer sees it, with the age that it has now."""
    return replace(queued_message(message.new), age=timedelta(seconds=served - message.served_at))


def lease_to(
    tables: Tables, lease: Lease, recipients: Sequence[Recipient], *, served: float
) -> list[Work]:
    """Put recipients under a lease: it counts as an attempt."""
    by_message: dict[MessageId, list[Recipient]] = {}
    for recipient in recipients:
        recipient.lease = lease
        recipient.attempts += 1
        by_message.setdefault(recipient.message_id, []).append(recipient)
    return [
        Work(
            lease=lease,
            message=queued(tables.messages[message_id], served=served),
            recipients=tuple(map(queued_recipient, group)),
            content=None,
        )
        for message_id, group in by_message.items()
    ]

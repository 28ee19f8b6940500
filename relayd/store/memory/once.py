"""The keys of messages that are to be taken once."""

from relayd.mail.ids import MessageId
from relayd.mail.once import KEPT_FOR, FirstMessage, Once
from relayd.store.memory.tables import Tables


def first(tables: Tables, key: bytes) -> FirstMessage | None:
    """Return the message that came with a key, if one did."""
    found = tables.once.get(key)
    return None if found is None else found[0]


def write(tables: Tables, once: Once, message_id: MessageId, *, served: float) -> None:
    """Write the key of a message that is about to be stored. Raises AlreadyTaken, OtherBody."""
    if (known := first(tables, once.key)) is not None:
        known.check(once)
    message = FirstMessage(id=message_id, body=once.body, answers=once.answers)
    tables.once[once.key] = message, served


def forget(tables: Tables, *, served: float) -> int:
    """Delete keys that were kept for long enough; return how many."""
    limit = served - KEPT_FOR.total_seconds()
    old = [key for key, (_, served_at) in tables.once.items() if served_at < limit]
    for key in old:
        del tables.once[key]
    return len(old)

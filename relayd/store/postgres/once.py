"""The keys of messages that are to be taken once, inside the transaction of the message."""

import json
from datetime import timedelta

from relayd.mail.ids import MessageId
from relayd.mail.once import KEPT_FOR, FirstMessage, Once
from relayd.store.postgres.line import Session

_AT_ONCE = 2000  # keys deleted in one transaction
_FIRST = "SELECT message_id, body, answers FROM once WHERE key = $1"
_ADD = "INSERT INTO once (key, body, message_id, answers, served_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"


async def first(db: Session, key: bytes) -> FirstMessage | None:
    """Return the message that came with a key, if one did."""
    for message_id, body, answers in await db.fetch(_FIRST, key):
        return FirstMessage(id=MessageId(message_id), body=bytes(body), answers=json.loads(answers))
    return None


async def write(db: Session, once: Once, message_id: MessageId, *, served: int) -> None:
    """Write the key of a message that is about to be stored.

    Raises AlreadyTaken or OtherBody when a message came with it before: the insert waits for who writes the same
    key just now, and what is seen afterwards is durable.
    """
    row = (once.key, once.body, message_id, json.dumps(once.answers), served)
    while not await db.execute(_ADD, *row):
        known = await first(db, once.key)
        if known is not None:
            known.check(once)


async def forget(db: Session, *, served: int) -> int:
    """Delete some keys that were kept for long enough; return how many."""
    return await db.execute(
        "DELETE FROM once WHERE key IN (SELECT key FROM once WHERE served_at < $1 LIMIT $2)",
        served - KEPT_FOR // timedelta(milliseconds=1),
        _AT_ONCE,
    )

"""The keys of messages that are to be taken once, inside the transaction of the message."""

import json
from datetime import timedelta

import apsw

from relayd.mail.ids import MessageId
from relayd.mail.once import KEPT_FOR, FirstMessage, Once
from relayd.store.sqlite.values import fetch

_AT_ONCE = 2000  # keys deleted in one transaction
_FIRST = "SELECT message_id, body, answers FROM once WHERE key = ?"
_OLD = "SELECT key FROM once WHERE served_at < served() - ? LIMIT ?"


def first(db: apsw.Connection, key: bytes) -> FirstMessage | None:
    """Return the message that came with a key, if one did."""
    for message_id, body, answers in fetch(db, _FIRST, (key,)):
        return FirstMessage(id=MessageId(message_id), body=bytes(body), answers=json.loads(answers))
    return None


def write(db: apsw.Connection, once: Once, message_id: MessageId) -> None:
    """Write the key of a message that is about to be stored.

    Raises AlreadyTaken or OtherBody when a message came with it before. Another process may have committed
    that one and not synced it yet. So the row is written again: the end of this transaction is then
    durable only with all that was committed before it, and the answer tells of nothing that can be lost.
    """
    known = first(db, once.key)
    if known is not None:
        db.execute("UPDATE once SET served_at = served_at WHERE key = ?", (once.key,))
        known.check(once)
    db.execute(
        "INSERT INTO once VALUES (?, ?, ?, ?, served())",
        (once.key, once.body, message_id, json.dumps(once.answers)),
    )


def forget(db: apsw.Connection) -> int:
    """Delete some keys that were kept for long enough; return how many."""
    old = fetch(db, _OLD, (KEPT_FOR // timedelta(milliseconds=1), _AT_ONCE))
    db.executemany("DELETE FROM once WHERE key = ?", old)
    return len(old)

"""The content of messages inside one transaction: a small one in its row, a large one in parts.

A large one goes through a file without a name on this machine, on its way in and on its way out, so that it is
cut like any other content and never held in memory as a whole.
"""

from collections.abc import Iterable

from relayd.errors import ContentLost
from relayd.mail.content import Content
from relayd.mail.ids import MessageId
from relayd.store.postgres.line import Session
from relayd.store.postgres.spool import UnnamedFile

PART = 256 * 1024  # octets
_PUT_PART = "INSERT INTO content_part (message_id, part, body) VALUES ($1, $2, $3)"
_PAGE = 10_000  # messages looked at in one transaction
_UNWANTED = (
    "WITH page AS MATERIALIZED (SELECT message_id FROM content WHERE message_id > $1 ORDER BY message_id LIMIT $2)"
    " SELECT max(message_id), array_agg(message_id) FILTER (WHERE"
    " NOT EXISTS (SELECT 1 FROM queue q WHERE q.message_id = page.message_id)"
    " AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.message_id = page.message_id)) FROM page"
)
_PART = "SELECT body FROM content_part WHERE message_id = $1 AND part = $2"


async def insert(db: Session, message_id: MessageId, content: Content) -> None:
    """Add the content of a new message."""
    body, parts = b"", 0
    if isinstance(content, bytes) and len(content) <= PART:
        body = content
    else:
        parts = -(-len(content) // PART)
        for part in range(parts):
            octets = bytes(content[part * PART : (part + 1) * PART])
            await db.execute(_PUT_PART, message_id, part, octets)
    await db.execute(
        "INSERT INTO content (message_id, parts, body) VALUES ($1, $2, $3)", message_id, parts, body
    )


async def find(db: Session, message_id: MessageId) -> Content | None:
    """Return the content as stored; None when it is gone. Raises ContentLost, StoreFull, StoreUnavailable."""
    found = await db.fetch("SELECT parts, body FROM content WHERE message_id = $1", message_id)
    if not found:
        return None
    [(parts, body)] = found
    if not parts:
        return bytes(body)
    file = UnnamedFile()
    for part in range(parts):
        octets = await db.value(_PART, message_id, part)
        if octets is None:
            raise ContentLost(f"part {part} of the content of {message_id} is missing")
        file.write(octets)
    return file.finish(b"")


async def drop(db: Session, messages: Iterable[MessageId]) -> None:
    """Delete the content of those messages that nobody waits for any more, and that are not kept.

    The rows are locked first: of two workers that settle the last two recipients at once, the second one sees
    then what the first one did.
    """
    wanted = sorted(set(messages))
    if not wanted:
        return
    await db.fetch(
        "SELECT 1 FROM content WHERE message_id = ANY($1::bigint[]) ORDER BY message_id FOR UPDATE",
        wanted,
    )
    gone = await db.fetch(
        "DELETE FROM content c WHERE message_id = ANY($1::bigint[])"
        " AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.message_id = c.message_id)"
        " AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.message_id = c.message_id)"
        " RETURNING message_id, parts",
        wanted,
    )
    in_parts = [message_id for message_id, parts in gone if parts]
    if in_parts:
        await db.execute("DELETE FROM content_part WHERE message_id = ANY($1::bigint[])", in_parts)


async def sweep(db: Session, after: int) -> int | None:
    """Delete content that was left behind, of the messages after one; return the last one looked at, None at the end.

    A worker that dies between an acceptance and `drop` leaves it.
    """
    [(last, unwanted)] = await db.fetch(_UNWANTED, after, _PAGE)
    await drop(db, unwanted or ())
    return None if last is None else int(last)

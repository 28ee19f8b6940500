"""Giving the content of a message to a person, inside the transaction that records who it was."""

from relayd.mail.event import Subject
from relayd.mail.ids import MessageId
from relayd.mail.operator import ReadBy
from relayd.ports.queue import ContentRead
from relayd.store.postgres import content, events
from relayd.store.postgres.line import Session

_LOGIN = "SELECT auth_user FROM message WHERE id = $1"
_RECIPIENTS = (
    "SELECT r.number, m.message_id_header, m.reverse_path, m.tag, m.size, r.address"
    " FROM every_recipient r JOIN message m ON m.id = r.message_id WHERE r.message_id = $1 ORDER BY r.number"
)


async def read(
    db: Session, message_id: MessageId, reader: ReadBy, *, of: str | None
) -> ContentRead | None:
    """Return the content, and record that; None when it is gone, or came with another login than `of`.

    Raises ContentLost, StoreFull, StoreUnavailable.
    """
    if of is not None and await db.fetch(_LOGIN, message_id) != [(of,)]:
        return None
    found = await content.find(db, message_id)
    if found is None:
        return None
    told = [
        reader.event(
            message_id,
            number,
            Subject(
                message_id_header=header,
                reverse_path=reverse_path,
                tag=tag,
                size=size,
                address=address,
            ),
        )
        for number, header, reverse_path, tag, size, address in await db.fetch(
            _RECIPIENTS, message_id
        )
    ]
    await events.record(db, told)
    return ContentRead(content=found, events=tuple(told))

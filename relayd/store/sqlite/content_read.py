"""Giving the content of a message to a person, inside the transaction that records who it was."""

import apsw

from relayd.mail.event import Subject
from relayd.mail.ids import MessageId
from relayd.mail.operator import ReadBy
from relayd.ports.queue import ContentRead
from relayd.store.spool import SpoolDirectory
from relayd.store.sqlite import messages, outcomes
from relayd.store.sqlite.values import fetch

_LOGIN = "SELECT auth_user FROM message WHERE id = ?"
_RECIPIENTS = (
    "SELECT r.number, m.message_id_header, m.reverse_path, m.tag, m.size, r.address"
    " FROM recipient r JOIN message m ON m.id = r.message_id WHERE r.message_id = ? ORDER BY r.number"
)


def read(
    db: apsw.Connection,
    files: SpoolDirectory,
    message_id: MessageId,
    reader: ReadBy,
    *,
    of: str | None,
) -> ContentRead | None:
    """Return the content, and record that; None when it is gone, or came with another login than `of`.

    Raises ContentLost, StoreUnavailable.
    """
    if of is not None and fetch(db, _LOGIN, (message_id,)) != [(of,)]:
        return None
    content = messages.content(db, files.content_of, message_id)
    if content is None:
        return None
    content[-1:]  # its file is open from now on, and whole
    events = [
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
        for number, header, reverse_path, tag, size, address in fetch(
            db, _RECIPIENTS, (message_id,)
        )
    ]
    for event in events:
        outcomes.record(db, event)
    return ContentRead(content=content, events=tuple(events))

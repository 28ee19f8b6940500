"""Messages and recipients inside one transaction: written as they are received, read as work."""

from collections.abc import Mapping, Sequence

import apsw

from relayd.mail.address import Address
from relayd.mail.envelope import NewMessage, NewRecipient, QueuedRecipient
from relayd.mail.event import first_events
from relayd.ports.queue import Lease, Work
from relayd.store.sqlite import leases, outcomes, rows, values
from relayd.store.sqlite.spool import FileContent

_CONTENT_WITH_CLAIM = 128 * 1024  # octets up to which a claim brings the content along


def insert_message(db: apsw.Connection, message: NewMessage) -> None:
    facts, client = message.facts, message.client
    db.execute(
        "INSERT INTO message (id, received_at, reverse_path, size, message_id_header, tag, flags,"
        " parameters, client_ip, helo, listener, auth_user, account, served_at)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,served())",
        (
            message.id,
            values.to_ms(message.received_at),
            str(message.reverse_path or ""),
            len(message.content),
            facts.message_id_header,
            facts.tag,
            rows.flags_of(message),
            rows.dump(message.parameters),
            client.ip,
            client.helo,
            client.listener,
            client.auth_user,
            client.account,
        ),
    )
    content = message.content
    body, beside = content, 0
    if isinstance(content, FileContent):
        body, beside = content.head, content.beside
    db.execute(
        "INSERT INTO content (message_id, body, beside) VALUES (?, ?, ?)",
        (message.id, body, beside),
    )


def record_first(db: apsw.Connection, message: NewMessage) -> None:
    """Write what is known of its recipients from the start."""
    for event in first_events(message):
        outcomes.record(db, event)


def insert_returned(db: apsw.Connection, message: NewMessage) -> None:
    """Add a message of relayd's own to a sender, which anybody may claim."""
    insert_message(db, message)
    for number in range(len(message.recipients)):
        insert_recipient(db, message, number, None, is_returned=True)


def insert_recipient(
    db: apsw.Connection,
    message: NewMessage,
    number: int,
    lease: Lease | None,
    *,
    is_returned: bool = False,
) -> None:
    recipient: NewRecipient = message.recipients[number]
    address: Address = recipient.address
    due_at = values.to_ms(message.received_at)
    state = "held" if message.is_held else "queued"
    db.execute(
        "INSERT INTO recipient (message_id, number, address, address_key, parameters, destination,"
        " state, slot, next_attempt_at, attempts, updated_at, returned)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            message.id,
            number,
            str(address),
            values.address_key(address.local, address.domain),
            rows.dump(recipient.parameters),
            recipient.destination,
            state,
            None if lease is None else lease.slot,
            due_at,
            0 if lease is None else 1,
            due_at,
            is_returned,
        ),
    )
    if lease is None and not message.is_held:
        leases.touch(db, recipient.destination, due_at)


def born_work(message: NewMessage, taken: Mapping[str, Lease | None]) -> Sequence[Work]:
    queued = rows.queued_message(message)
    return [
        Work(
            lease=lease,
            message=queued,
            recipients=tuple(
                QueuedRecipient(
                    number=number,
                    address=str(recipient.address),
                    parameters=recipient.parameters,
                    attempt=1,
                    soft_failures=0,
                    unknown_outcomes=0,
                )
                for number, recipient in enumerate(message.recipients)
                if recipient.destination == destination
            ),
            content=message.content,
        )
        for destination, lease in taken.items()
        if lease is not None
    ]


def lease_due(
    db: apsw.Connection, lease: Lease, *, now: int, limit: int
) -> dict[int, list[QueuedRecipient]]:
    """Lease up to `limit` due recipients; return them by message."""
    due = values.fetch(
        db,
        "SELECT message_id, number, address, parameters, attempts + 1, soft_failures,"  # noqa: S608 -- a constant
        f" possible_duplicate, {rows.NO_MAIL_HOST_AT} FROM recipient"
        " WHERE destination = ? AND state = 'queued'"
        " AND slot IS NULL AND next_attempt_at <= ? ORDER BY next_attempt_at, message_id LIMIT ?",
        (lease.destination, now, limit),
    )
    db.executemany(
        "UPDATE recipient SET slot = ?, attempts = attempts + 1 WHERE message_id = ? AND number = ?",
        [(lease.slot, row[0], row[1]) for row in due],
    )
    taken: dict[int, list[QueuedRecipient]] = {}
    for row in due:
        taken.setdefault(row[0], []).append(rows.recipient_of(row[1:]))
    return taken


def claimed_work(
    db: apsw.Connection, lease: Lease, taken: Mapping[int, list[QueuedRecipient]]
) -> Sequence[Work]:
    work = []
    for message_id, recipients in taken.items():
        *row, body = values.fetch(
            db,
            f"SELECT {rows.MESSAGE_COLUMNS}, CASE WHEN m.size <= ? AND NOT c.beside THEN c.body END FROM message m"  # noqa: S608 -- fixed columns
            " JOIN content c ON c.message_id = m.id WHERE m.id = ?",
            (_CONTENT_WITH_CLAIM, message_id),
        )[0]
        work.append(
            Work(
                lease=lease,
                message=rows.message_of(tuple(row)),
                recipients=tuple(recipients),
                content=body,
            )
        )
    return work

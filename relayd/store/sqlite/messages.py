"""Messages, their recipients and content inside one transaction."""

from collections.abc import Callable, Mapping

import apsw

from relayd.mail.address import Address
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, NewRecipient
from relayd.mail.event import check_events, detail_for, reception_detail
from relayd.mail.ids import MessageId
from relayd.mail.words import EventKind
from relayd.ports.queue import Lease
from relayd.store.spool import FileContent
from relayd.store.sqlite import destinations, outcomes, rows, values

_RECEIVED = EventKind.RECEIVED.value


def insert(
    db: apsw.Connection,
    message: NewMessage,
    taken: Mapping[str, Lease | None],
    *,
    is_returned: bool = False,
) -> None:
    """Add a new message, and `first_events` of it.

    Its recipients are leased where `taken` has a lease for their destination. `is_returned`: it is one of
    relayd's own to a sender.
    """
    at = values.to_ms(message.received_at)
    detail = reception_detail(message)
    received = outcomes.dump(detail)
    _insert_message(db, message, at)
    for number, recipient in enumerate(message.recipients):
        lease = taken.get(recipient.destination)
        _insert_recipient(db, message, number, lease, at=at, is_returned=is_returned)
        told = received
        if recipient.parameters.orcpt is not None or recipient.chosen_by:
            told = outcomes.dump(detail_for(detail, recipient))
        db.execute(outcomes.RECORD, (message.id, number, at, _RECEIVED, told))
    if message.is_held:  # nobody can try it: this does not make it old
        db.execute("UPDATE recipient SET uncounted = -served() WHERE message_id = ?", (message.id,))
    if message.has_findings:
        for event in check_events(message):
            outcomes.record(db, event)


def content(
    db: apsw.Connection,
    content_of: Callable[[MessageId, bytes, int], Content],
    message_id: MessageId,
) -> Content | None:
    """Return the content as stored; None when it is gone. Raises ContentLost, StoreUnavailable.

    `content_of` makes it of its beginning and its file, as `SpoolDirectory.content_of` does.
    """
    found = values.fetch(db, "SELECT body, beside FROM content WHERE message_id = ?", (message_id,))
    if not found:
        return None
    [(body, beside)] = found
    return content_of(message_id, body, beside) if beside else bytes(body)


def _insert_message(db: apsw.Connection, message: NewMessage, at: int) -> None:
    facts, client = message.facts, message.client
    db.execute(
        "INSERT INTO message (id, received_at, reverse_path, size, message_id_header, tag, flags,"
        " parameters, client_ip, helo, listener, auth_user, account, subject, test_via, served_at)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,served())",
        (
            message.id,
            at,
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
            facts.subject,
            facts.test_via or None,
        ),
    )
    body, beside = message.content, 0
    if isinstance(message.content, FileContent):
        body, beside = message.content.head, message.content.beside
    db.execute(
        "INSERT INTO content (message_id, body, beside) VALUES (?, ?, ?)",
        (message.id, body, beside),
    )


def _insert_recipient(
    db: apsw.Connection,
    message: NewMessage,
    number: int,
    lease: Lease | None,
    *,
    at: int,
    is_returned: bool,
) -> None:
    recipient: NewRecipient = message.recipients[number]
    address: Address = recipient.address
    state = "held" if message.is_held else "queued"
    due = at if message.not_before is None else values.to_ms(message.not_before)
    db.execute(
        "INSERT INTO recipient (message_id, number, address, address_key, parameters, destination,"
        " state, slot, next_attempt_at, attempts, updated_at, returned, chosen_by)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            message.id,
            number,
            str(address),
            values.address_key(address.local, address.domain),
            rows.dump(recipient.parameters),
            recipient.destination,
            state,
            None if lease is None else lease.slot,
            due,
            0 if lease is None else 1,
            at,
            is_returned,
            recipient.chosen_by or None,
        ),
    )
    if lease is None and not message.is_held:
        destinations.touch(db, recipient.destination, due)

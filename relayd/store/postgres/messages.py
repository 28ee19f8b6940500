"""New messages and their recipients inside one transaction."""

from collections.abc import Mapping

from relayd.mail.envelope import NewMessage
from relayd.mail.event import check_events, detail_for, reception_detail
from relayd.mail.words import EventKind
from relayd.ports.queue import Lease
from relayd.store import rows
from relayd.store.postgres import content, destinations, events
from relayd.store.postgres.line import Row, Session
from relayd.store.postgres.moment import Moment
from relayd.store.values import address_key, to_ms

_MESSAGE = (
    "INSERT INTO message (id, received_at, reverse_path, size, message_id_header, tag, flags,"
    " parameters, client_ip, helo, listener, auth_user, account, subject, test_via, served_at)"
    " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)"
)
_RECIPIENT = (
    "INSERT INTO queue (message_id, number, address, address_key, parameters, destination, state,"
    " slot, epoch, next_attempt_at, attempts, updated_at, returned, chosen_by, siblings, uncounted)"
    " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)"
)


async def insert(
    db: Session,
    message: NewMessage,
    taken: Mapping[str, Lease | None],
    *,
    at: Moment,
    is_returned: bool = False,
) -> None:
    """Add a new message, and `first_events` of it.

    Its recipients are leased where `taken` has a lease for their destination. `is_returned`: it is one of
    relayd's own to a sender.
    """
    await db.execute(_MESSAGE, *_message(message, at))
    await content.insert(db, message.id, message.content)
    added = [
        _recipient(message, number, taken, at=at, is_returned=is_returned)
        for number in range(len(message.recipients))
    ]
    await db.many(_RECIPIENT, added)
    if not message.is_held:
        due = _due(message)
        waiting = {one.destination for one in message.recipients if not taken.get(one.destination)}
        await destinations.touch(db, dict.fromkeys(sorted(waiting), due))
    await events.record_rows(db, _received(message))
    if message.has_findings:
        await events.record(db, check_events(message))


def _due(message: NewMessage) -> int:
    return to_ms(message.received_at if message.not_before is None else message.not_before)


def _message(message: NewMessage, at: Moment) -> Row:
    facts, client = message.facts, message.client
    return (
        message.id,
        to_ms(message.received_at),
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
        at.served,
    )


def _recipient(
    message: NewMessage,
    number: int,
    taken: Mapping[str, Lease | None],
    *,
    at: Moment,
    is_returned: bool,
) -> Row:
    recipient = message.recipients[number]
    address, lease = recipient.address, taken.get(recipient.destination)
    return (
        message.id,
        number,
        str(address),
        address_key(address.local, address.domain),
        rows.dump(recipient.parameters),
        recipient.destination,
        "held" if message.is_held else "queued",
        None if lease is None else lease.slot,
        None if lease is None else lease.epoch,
        _due(message),
        0 if lease is None else 1,
        to_ms(message.received_at),
        is_returned,
        recipient.chosen_by or None,
        len(message.recipients),
        -at.served
        if message.is_held
        else 0,  # nobody can try what is held: this does not make it old
    )


def _received(message: NewMessage) -> list[Row]:
    detail = reception_detail(message)
    received, at = events.dump(detail), to_ms(message.received_at)
    return [
        (
            message.id,
            number,
            at,
            EventKind.RECEIVED.value,
            received
            if recipient.parameters.orcpt is None and not recipient.chosen_by
            else events.dump(detail_for(detail, recipient)),
        )
        for number, recipient in enumerate(message.recipients)
    ]

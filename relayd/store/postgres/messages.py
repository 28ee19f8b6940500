"""New messages and their recipients inside one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from relayd.mail.envelope import NewMessage
from relayd.mail.event import check_events, detail_for, reception_detail
from relayd.mail.words import EventKind
from relayd.ports.queue import Lease
from relayd.store import rows
from relayd.store.postgres import content, destinations, events
from relayd.store.postgres.line import Row, Session
from relayd.store.postgres.moment import Moment
from relayd.store.values import address_key, to_ms, without_nul

_MESSAGE_COLUMNS = (
    "id, received_at, reverse_path, size, message_id_header, tag, flags,"
    " parameters, client_ip, helo, listener, auth_user, account, subject, test_via, served_at"
)
_MESSAGE_TYPES = (
    "bigint bigint text bigint text text int text text text text text text text text bigint"
)
_RECIPIENT_COLUMNS = (
    "message_id, number, address, address_key, parameters, destination, state,"
    " slot, epoch, next_attempt_at, attempts, updated_at, returned, chosen_by, siblings, uncounted"
)
_RECIPIENT_TYPES = (
    "bigint int text text text text text bigint bigint bigint int bigint boolean text int bigint"
)
_MESSAGE = f"INSERT INTO message ({_MESSAGE_COLUMNS}) VALUES ({{}})".format(  # noqa: S608 -- constants
    ", ".join(f"${place}" for place in range(1, 17))
)
_RECIPIENT = f"INSERT INTO queue ({_RECIPIENT_COLUMNS}) VALUES ({{}})".format(  # noqa: S608 -- constants
    ", ".join(f"${place}" for place in range(1, 17))
)


def _arrays(types: str, first: int) -> str:
    """Return the parameters from `first` on as arrays of those types, for `unnest`."""
    return ", ".join(f"${first + place}::{each}[]" for place, each in enumerate(types.split()))


# Nothing at all is written while there are pause rules: whom they stop is for `claims.for_new` to say. The lock on the
# slot is only ever met by who frees it, and closes the gap in which a row is put under a slot that is just being freed.
_MANY = (
    "WITH ok AS (SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pause_rule)),"  # noqa: S608 -- constants
    " s AS (SELECT slot.id, slot.epoch FROM slot JOIN unnest($1::bigint[], $2::bigint[], $3::int[]) AS w (id, epoch, worker)"
    " ON slot.id = w.id AND slot.epoch = w.epoch AND slot.worker = w.worker WHERE NOT EXISTS"
    " (SELECT 1 FROM destination d WHERE d.key = slot.destination AND d.paused_until > $4) ORDER BY slot.id FOR SHARE OF slot),"
    f" m AS (INSERT INTO message ({_MESSAGE_COLUMNS}) SELECT n.* FROM unnest({_arrays(_MESSAGE_TYPES, 5)}) n, ok),"
    " c AS (INSERT INTO content (message_id, parts, body)"
    " SELECT n.id, 0, n.body FROM unnest($5::bigint[], $21::bytea[]) AS n (id, body), ok),"
    f" q AS (INSERT INTO queue ({_RECIPIENT_COLUMNS}) SELECT n.message_id, n.number, n.address, n.address_key, n.parameters,"
    " n.destination, n.state, s.id, s.epoch, n.next_attempt_at, CASE WHEN s.id IS NULL THEN 0 ELSE 1 END, n.updated_at,"
    " n.returned, n.chosen_by, n.siblings, n.uncounted"
    f" FROM unnest({_arrays(_RECIPIENT_TYPES, 22)}) AS n ({_RECIPIENT_COLUMNS})"
    " CROSS JOIN ok LEFT JOIN s ON s.id = n.slot AND s.epoch = n.epoch"
    " RETURNING message_id, destination, slot, epoch, state, next_attempt_at),"
    " w AS (SELECT destination AS key, min(next_attempt_at) AS due_at FROM q"
    " WHERE slot IS NULL AND state = 'queued' GROUP BY destination ORDER BY destination),"
    f" {destinations.LOWERED},"
    " e AS (INSERT INTO event (number, message_id, recipient, at, kind, detail)"
    f" SELECT {events.NUMBER}, n.message_id, n.recipient, n.at, n.kind, n.detail"
    " FROM unnest($38::int[], $39::bigint[], $40::int[], $41::bigint[], $42::text[], $43::text[])"
    " AS n (n, message_id, recipient, at, kind, detail), ok)"
    " SELECT message_id, destination, slot, epoch FROM q WHERE slot IS NOT NULL"
    " UNION ALL SELECT NULL, NULL, NULL, NULL FROM ok"
)


def is_small(message: NewMessage) -> bool:
    """Tell whether the content of a message is one value."""
    return isinstance(message.content, bytes) and len(message.content) <= content.PART


async def insert_many(
    db: Session,
    known: Sequence[tuple[NewMessage, Mapping[str, Lease]]],
    *,
    workers: Sequence[int],
    at: Moment,
) -> Sequence[Mapping[str, Lease]] | None:
    """Add new messages whose content is small by one statement, with the slots that they are to be leased under.

    Return the leases that were still there; None, and nothing is written, where there are pause rules.
    """
    slots = {
        (lease.slot, lease.epoch, worker)
        for (_, leases), worker in zip(known, workers, strict=True)
        for lease in leases.values()
    }
    added = [
        _recipient(message, number, leases, at=at, is_returned=False)
        for message, leases in known
        for number in range(len(message.recipients))
    ]
    received = [row for message, _ in known for row in _received(message)]
    first = events.take_numbers(db, len(received))
    found = await db.fetch(
        _MANY,
        *columns(sorted(slots), 3),
        at.now,
        *columns([_message(message, at) for message, _ in known], 16),
        [message.content for message, _ in known],
        *columns(added, 16),
        list(range(first, first + len(received))),
        *columns(received, 5),
    )
    if not found:
        return None
    taken: dict[int, dict[str, Lease]] = {}
    for message_id, destination, slot, epoch in found[:-1]:
        taken.setdefault(message_id, {})[destination] = Lease(destination, slot, epoch)
    for message, _ in known:
        touch_again(db, message, taken.get(message.id, {}))
    return [taken.get(message.id, {}) for message, _ in known]


def touch_again(db: Session, message: NewMessage, taken: Mapping[str, Lease]) -> None:
    """Note behind the commit once more that destinations have something to do."""
    waiting = {one.destination for one in message.recipients if one.destination not in taken}
    if waiting and not message.is_held:
        destinations.touch_again(db, dict.fromkeys(waiting, _due(message)))


def columns(rows: Sequence[Row], width: int) -> list[list[Any]]:
    """Return rows as the arrays of their columns, for `unnest`."""
    return list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in range(width)]


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
        without_nul(facts.message_id_header),
        without_nul(facts.tag),
        rows.flags_of(message),
        rows.dump(message.parameters),
        client.ip,
        without_nul(client.helo),
        client.listener,
        client.auth_user,
        client.account,
        without_nul(facts.subject),
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

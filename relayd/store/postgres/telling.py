"""The one place where deliveries to endpoints begin: the transaction of their events.

Events of one recipient are recorded by one transaction at a time, since each locks the recipient first: its row of
`queue`, or, of one that is finished, its message (`returned`). So nobody else begins a delivery for the same recipient.
"""

from collections.abc import Sequence

from relayd.ports.outbox import TOLD, DeliveryState
from relayd.store.outbox_rows import UNFINISHED
from relayd.store.postgres.line import Row, Session

_TOLD = frozenset(map(str, TOLD))
# What is unfinished now stays so until this transaction ends: who finishes it waits (`deliveries.settle`), and then
# sees what is behind it. Else that would be behind for ever.
_AHEAD = (
    "SELECT d.endpoint, d.message_id, d.recipient FROM (SELECT DISTINCT s.endpoint, e.message_id, e.recipient"  # noqa: S608 -- constants
    " FROM unnest($1::text[], $2::bigint[], $3::int[]) AS e (kind, message_id, recipient)"
    " JOIN subscription s ON s.kind = e.kind) wanted"
    " JOIN delivery d ON d.endpoint = wanted.endpoint AND d.message_id = wanted.message_id"
    f" AND d.recipient = wanted.recipient AND d.{UNFINISHED}"
    " ORDER BY d.endpoint, d.event FOR NO KEY UPDATE OF d"
)
_IS_OF_SENDER = (
    'EXISTS (SELECT 1 FROM (SELECT lower(value COLLATE "C") AS value FROM json_array_elements_text(s.senders::json)) each'
    " WHERE each.value = lower(m.reverse_path) OR (left(each.value, 1) = '@'"
    " AND right(lower(m.reverse_path), length(each.value)) = each.value))"
)
_HAS_TAG = (
    "EXISTS (SELECT 1 FROM json_array_elements_text(s.tags::json)"
    ' WHERE lower(value COLLATE "C") = lower(m.tag))'
)
_WANTED = (
    "SELECT s.endpoint, e.number, e.message_id, e.recipient, e.at"  # noqa: S608 -- constants
    " FROM unnest($1::text[], $2::bigint[], $3::int[], $4::bigint[], $5::bigint[])"
    " AS e (kind, message_id, recipient, at, number)"
    " JOIN subscription s ON s.kind = e.kind JOIN message m ON m.id = e.message_id"
    f" WHERE (s.senders IS NULL OR {_IS_OF_SENDER}) AND (s.tags IS NULL OR {_HAS_TAG})"
    " ORDER BY s.endpoint, e.number"
)
_BEGIN = (
    "INSERT INTO delivery (endpoint, event, message_id, recipient, at, state)"
    " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::int[], $5::bigint[], $6::text[])"
)


def may_be_told(rows: Sequence[Row]) -> list[str]:
    """Return the kinds among those of events that an endpoint may be told."""
    return sorted({row[3] for row in rows} & _TOLD)


async def tell(db: Session, numbers: Sequence[int], rows: Sequence[Row]) -> None:
    """Begin the deliveries of events that were recorded just now: their rows as `events.record_rows` has them."""
    told = [(*row, number) for row, number in zip(rows, numbers, strict=True) if row[3] in _TOLD]
    message_ids, recipients, instants, kinds, _, told_as = map(list, zip(*told, strict=True))
    ahead = set(await db.fetch(_AHEAD, kinds, message_ids, recipients))
    found = await db.fetch(_WANTED, kinds, message_ids, recipients, instants, told_as)
    begun = []
    for endpoint, number, message_id, recipient, at in found:
        whose = (endpoint, message_id, recipient)
        state = DeliveryState.BEHIND if whose in ahead else DeliveryState.WAITING
        ahead.add(whose)
        begun.append((endpoint, number, message_id, recipient, at, state.value))
    if begun:
        await db.execute(_BEGIN, *map(list, zip(*begun, strict=True)))

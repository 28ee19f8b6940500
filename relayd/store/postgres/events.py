"""The history inside one transaction: its events, each with its number.

Numbers are in the order of commits for who reads with `SEEN`: a number begins with that of its transaction, and
who reads stops below the oldest transaction that is still under way. So what is committed later never has a
number that a reader has passed.
"""

from collections.abc import Iterable, Sequence

import orjson

from relayd.errors import StoreUnavailable
from relayd.mail.event import Event
from relayd.mail.words import Detail
from relayd.store.postgres import telling
from relayd.store.postgres.line import Row, Session
from relayd.store.values import to_ms

IN_A_TRANSACTION = 1 << 16  # events; so numbers stay below 2^53 for 10^11 transactions
SEEN = f"(pg_snapshot_xmin(pg_current_snapshot())::text::bigint * {IN_A_TRANSACTION})"
"""No event of a transaction that is still under way has a number below."""

NUMBER = f"pg_current_xact_id()::text::bigint * {IN_A_TRANSACTION} + n.n"
"""The number of an event, of which `n.n` says the which of its transaction it is."""

# With it it is asked whether anybody is to be told.
_RECORD = (
    f"WITH e AS (INSERT INTO event (number, message_id, recipient, at, kind, detail) SELECT {NUMBER}, m, r, at, kind, detail"  # noqa: S608 -- constants
    " FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[])"
    " AS n (n, m, r, at, kind, detail))"
    " SELECT pg_current_xact_id()::text::bigint WHERE EXISTS (SELECT 1 FROM subscription WHERE kind = ANY($7::text[]))"
)

_RECORDED = (
    "SELECT n FROM unnest($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[])"
    " AS n (n, m, r, at, kind, detail) WHERE EXISTS (SELECT 1 FROM event e WHERE e.message_id = n.m"
    " AND e.recipient = n.r AND e.at = n.at AND e.kind = n.kind AND e.detail = n.detail)"
)


async def record(db: Session, events: Iterable[Event]) -> None:
    """Add events to the history, in their order."""
    await record_rows(
        db,
        [
            (each.message_id, each.recipient, to_ms(each.at), str(each.kind), dump(each.detail))
            for each in events
        ],
    )


async def record_rows(db: Session, rows: Sequence[Row]) -> None:
    """Add events: message, recipient, instant, kind, and the detail as JSON. Endpoints are told in the same transaction.

    The transaction has locked the recipients before: `telling`.
    """
    if not rows:
        return
    first = take_numbers(db, len(rows))
    columns = list(map(list, zip(*rows, strict=True)))
    transaction = await db.value(
        _RECORD, list(range(first, db.events)), *columns, telling.may_be_told(rows)
    )
    if transaction is not None:
        numbers = [transaction * IN_A_TRANSACTION + n for n in range(first, db.events)]
        await telling.tell(db, numbers, rows)


async def recorded(db: Session, events: Sequence[Event]) -> set[int]:
    """Return which of some events are in the history, each by its place among them."""
    rows = [
        (n, each.message_id, each.recipient, to_ms(each.at), str(each.kind), dump(each.detail))
        for n, each in enumerate(events)
    ]
    if not rows:
        return set()
    found = await db.fetch(_RECORDED, *map(list, zip(*rows, strict=True)))
    return {n for (n,) in found}


def take_numbers(db: Session, count: int) -> int:
    """Return the first number in this transaction of so many events. Raises StoreUnavailable when it has too many."""
    first = db.events
    if first + count >= IN_A_TRANSACTION:
        raise StoreUnavailable(
            f"one change of the queue may have {IN_A_TRANSACTION - 1:,} events, and this has {first + count:,}:"
            " give it fewer recipients"
        )
    db.events += count
    return first


def dump(detail: Detail) -> str:
    """Write the detail of an event as JSON."""
    return orjson.dumps(detail).decode()

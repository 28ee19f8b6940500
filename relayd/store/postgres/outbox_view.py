"""Questions about the outbox, from any process.

No question goes on behind a number that it has seen for what is new: a delivery is due by its state, and one that is
committed late, under a smaller number than others, is due like them.
"""

from collections.abc import Sequence

from relayd.ports.outbox import DeliveryQuery, DeliveryRow, DeliveryState, Endpoint, EndpointId
from relayd.store import outbox_rows
from relayd.store.outbox_rows import DELIVERY, ENDPOINT, UNFINISHED
from relayd.store.postgres import meta
from relayd.store.postgres.deliveries import JOINS
from relayd.store.postgres.line import Row, Session
from relayd.store.postgres.questions import Questions

_ENDPOINTS = f"SELECT {ENDPOINT} FROM endpoint e WHERE NOT e.dropped{{}} ORDER BY e.id"  # noqa: S608 -- constants
# Those of the oldest messages first.
_WAITING = (
    "SELECT count(*), min(at) FROM (SELECT at FROM delivery WHERE endpoint = $1"  # noqa: S608 -- constants
    f" AND {UNFINISHED} ORDER BY message_id, recipient, event LIMIT $2) AS counted"
)
_FAILED = "SELECT count(*) FROM (SELECT 1 FROM delivery WHERE endpoint = $1 AND state = 'failed' LIMIT $2) AS counted"
_KEYS = (
    "SELECT event FROM delivery WHERE endpoint = $1 AND event {} $2{} ORDER BY event {} LIMIT $3"
)
_ROWS = (
    f"SELECT {DELIVERY} FROM delivery d{JOINS} WHERE d.endpoint = $1 AND d.event = ANY($2::bigint[])"  # noqa: S608 -- constants
    " ORDER BY d.event DESC"
)


class PostgresOutboxView:
    """`relayd.ports.outbox.OutboxView` on PostgreSQL."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def endpoints(self, *, most: int | None = None) -> Sequence[Endpoint]:
        return self._questions.ask(lambda db: _endpoints(db, most))

    def deliveries(self, query: DeliveryQuery) -> Sequence[DeliveryRow]:
        return self._questions.ask(lambda db: _deliveries(db, query))


async def _endpoints(db: Session, most: int | None) -> list[Endpoint]:
    return [await _endpoint(db, row, most) for row in await db.fetch(_ENDPOINTS.format(""))]


async def endpoint_of(db: Session, number: EndpointId) -> Endpoint:
    """Return an endpoint that is there."""
    [row] = await db.fetch(_ENDPOINTS.format(" AND e.id = $1"), number)
    return await _endpoint(db, row)


async def _endpoint(db: Session, row: Row, most: int | None = None) -> Endpoint:
    number, enough = row[0], None if most is None else most + 1
    [(waiting, oldest)] = await db.fetch(_WAITING, number, enough)
    failed = await db.value(_FAILED, number, enough)
    ahead = await _ahead(db)
    return outbox_rows.endpoint_of(row, waiting=waiting, oldest=oldest, failed=failed, ahead=ahead)


async def _deliveries(db: Session, query: DeliveryQuery) -> list[DeliveryRow]:
    side, place, order = "<", 2**62 if query.before is None else query.before, "DESC"
    if query.after is not None:
        side, place, order = ">", query.after, "ASC"
    part = ""
    if query.states == (DeliveryState.FAILED,):  # few of many: their index is found by these words
        part = " AND state = 'failed'"
    elif query.states:
        part = f" AND state IN ({_list(query.states)})"
    sql = _KEYS.format(side, part, order)
    keys = [event for (event,) in await db.fetch(sql, query.endpoint, place, query.limit)]
    ahead = await _ahead(db)
    rows = await db.fetch(_ROWS, query.endpoint, keys)
    return [outbox_rows.delivery_of(query.endpoint, row, ahead=ahead) for row in rows]


def _list(states: Sequence[DeliveryState]) -> str:
    return ", ".join(f"'{DeliveryState(each)}'" for each in states)


async def _ahead(db: Session) -> int:
    """Return by how much the clock is ahead of the count that waits are measured by, as it was looked at last."""
    return await meta.number(db, "clock", 0) - await meta.number(db, "served", 0)

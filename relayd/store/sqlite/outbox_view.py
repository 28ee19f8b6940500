"""Questions about the outbox, from any process: short reads (HQ-04)."""

from collections.abc import Sequence
from typing import Any

import apsw

from relayd.ports.outbox import DeliveryQuery, DeliveryRow, DeliveryState, Endpoint, EndpointId
from relayd.store import outbox_rows
from relayd.store.outbox_rows import DELIVERY, ENDPOINT, UNFINISHED
from relayd.store.sqlite.deliveries import JOINS
from relayd.store.sqlite.outside import OutsideReader
from relayd.store.sqlite.values import fetch

_ENDPOINTS = f"SELECT {ENDPOINT} FROM endpoint e WHERE NOT e.dropped{{}} ORDER BY e.id"  # noqa: S608 -- constants
# Each by an index that has no others; those of the oldest messages first.
_WAITING = (
    "SELECT count(*), min(at) FROM (SELECT at FROM delivery INDEXED BY delivery_unfinished"  # noqa: S608 -- constants
    f" WHERE endpoint = ? AND {UNFINISHED} ORDER BY message_id, recipient, event LIMIT ?)"
)
_FAILED = (
    "SELECT count(*) FROM (SELECT 1 FROM delivery INDEXED BY delivery_failed"
    " WHERE endpoint = ? AND state = 'failed' LIMIT ?)"
)
_KEYS = "SELECT event FROM delivery WHERE endpoint = ? AND event {} ?{} ORDER BY event {} LIMIT ?"
_ROWS = (
    f"SELECT {DELIVERY} FROM json_each(?) wanted CROSS JOIN delivery d ON d.endpoint = ? AND d.event = wanted.value"  # noqa: S608 -- constants
    f" {JOINS} ORDER BY wanted.key"
)


class SqliteOutboxView:
    """`relayd.ports.outbox.OutboxView` on a SQLite file."""

    def __init__(self, file: OutsideReader) -> None:
        self._file = file

    def endpoints(self, *, most: int | None = None) -> Sequence[Endpoint]:
        return self._file.read(lambda db: _endpoints(db, most))

    def deliveries(self, query: DeliveryQuery) -> Sequence[DeliveryRow]:
        return self._file.read(lambda db: _deliveries(db, query))


def _endpoints(db: apsw.Connection, most: int | None) -> list[Endpoint]:
    return [_endpoint(db, row, most) for row in fetch(db, _ENDPOINTS.format(""))]


def endpoint_of(db: apsw.Connection, number: EndpointId) -> Endpoint:
    """Return an endpoint that is there."""
    [row] = fetch(db, _ENDPOINTS.format(" AND e.id = ?"), (number,))
    return _endpoint(db, row)


def _endpoint(db: apsw.Connection, row: Sequence[Any], most: int | None = None) -> Endpoint:
    number, enough = row[0], -1 if most is None else most + 1
    [(waiting, oldest)] = fetch(db, _WAITING, (number, enough))
    [(failed,)] = fetch(db, _FAILED, (number, enough))
    return outbox_rows.endpoint_of(
        row, waiting=waiting, oldest=oldest, failed=failed, ahead=_ahead(db)
    )


def _deliveries(db: apsw.Connection, query: DeliveryQuery) -> list[DeliveryRow]:
    side, place, order = "<", 2**62 if query.before is None else query.before, "DESC"
    if query.after is not None:
        side, place, order = ">", query.after, "ASC"
    part = ""
    if query.states == (
        DeliveryState.FAILED,
    ):  # few of many: SQLite finds their index by these words
        part = " AND state = 'failed'"
    elif query.states:
        part = f" AND state IN ({_list(query.states)})"
    sql = _KEYS.format(side, part, order)
    keys = [event for (event,) in fetch(db, sql, (query.endpoint, place, query.limit))]
    keys.sort(reverse=True)
    ahead = _ahead(db)
    rows = fetch(db, _ROWS, (str(keys), query.endpoint))
    return [outbox_rows.delivery_of(query.endpoint, row, ahead=ahead) for row in rows]


def _list(states: Sequence[DeliveryState]) -> str:
    return ", ".join(f"'{DeliveryState(each)}'" for each in states)


def _ahead(db: apsw.Connection) -> int:
    """Return by how much the clock is ahead of the count that waits are measured by, as it was looked at last."""
    rows = fetch(db, "SELECT key, value FROM meta WHERE key IN ('clock', 'served')")
    looked = {key: int(value) for key, value in rows}
    return looked.get("clock", 0) - looked.get("served", 0)

"""Questions about the outbox, from any process: short reads (HQ-04)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import apsw

from relayd.policy.console.webhook import NEVER, Off
from relayd.ports.outbox import (
    DeliveryQuery,
    DeliveryRow,
    DeliveryState,
    Endpoint,
    EndpointId,
    Heard,
)
from relayd.store.sqlite.deliveries import FACTS, JOINS, STANDING, event_of, standing_of
from relayd.store.sqlite.endpoints import subscription
from relayd.store.sqlite.outside import OutsideReader
from relayd.store.sqlite.values import fetch, from_ms

_ENDPOINTS = (
    "SELECT e.id, e.url, e.kinds, e.senders, e.tags, e.created_at, e.generation, e.ok_at,"  # noqa: S608 -- constants
    f" e.heard_at, e.status, e.trouble, e.octets, e.took, {STANDING}"
    " FROM endpoint e WHERE NOT e.dropped{} ORDER BY e.id"
)
_UNFINISHED = "state IN ('waiting', 'behind', 'sending')"
# Each by an index that has no others; those of the oldest messages first.
_WAITING = (
    "SELECT count(*), min(at) FROM (SELECT at FROM delivery INDEXED BY delivery_unfinished"  # noqa: S608 -- constants
    f" WHERE endpoint = ? AND {_UNFINISHED} ORDER BY message_id, recipient, event LIMIT ?)"
)
_FAILED = (
    "SELECT count(*) FROM (SELECT 1 FROM delivery INDEXED BY delivery_failed"
    " WHERE endpoint = ? AND state = 'failed' LIMIT ?)"
)
_KEYS = "SELECT event FROM delivery WHERE endpoint = ? AND event {} ?{} ORDER BY event {} LIMIT ?"
_ROWS = (
    "SELECT d.event, d.at, d.state, d.claims, d.next_at, d.sent_at, d.status, d.trouble, d.octets, d.took,"  # noqa: S608 -- constants
    f" {FACTS} FROM json_each(?) wanted CROSS JOIN delivery d ON d.endpoint = ? AND d.event = wanted.value"
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
    number, url, kinds, senders, tags, created_at, generation, ok_at, heard_at, *rest = row
    standing, ahead = standing_of(rest[4:]), _ahead(db)
    enough = -1 if most is None else most + 1
    [(waiting, oldest)] = fetch(db, _WAITING, (number, enough))
    [(failed,)] = fetch(db, _FAILED, (number, enough))
    return Endpoint(
        id=EndpointId(number),
        wanted=subscription((url, kinds, senders, tags, standing.off)),
        created_at=from_ms(created_at),
        generation=generation,
        off=Off(standing.off),
        failures=standing.failures,
        failing_since=_instant(standing.failing_since, ahead),
        rests_until=_instant(standing.rests_until, ahead),
        last_ok_at=None if ok_at is None else from_ms(ok_at),
        last_at=None if heard_at is None else from_ms(heard_at),
        last=_heard(rest[:4]),
        waiting=waiting,
        oldest=None if oldest is None else from_ms(oldest),
        failed=failed,
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
    return [
        _row(query.endpoint, row, ahead) for row in fetch(db, _ROWS, (str(keys), query.endpoint))
    ]


def _list(states: Sequence[DeliveryState]) -> str:
    return ", ".join(f"'{DeliveryState(each)}'" for each in states)


def _row(endpoint: EndpointId, row: Sequence[Any], ahead: int) -> DeliveryRow:
    number, at, state, claims, next_at, sent_at, *rest = row
    is_put_off = state == DeliveryState.WAITING
    return DeliveryRow(
        endpoint=endpoint,
        number=number,
        at=from_ms(at),
        state=DeliveryState(state),
        tries=claims,
        event=event_of(rest[4:]),
        last_at=None if sent_at is None else from_ms(sent_at),
        last=_heard(rest[:4]),
        next_at=_instant(next_at, ahead) if is_put_off else None,
    )


def _heard(row: Sequence[Any]) -> Heard | None:
    status, trouble, octets, took = row
    if took is None:
        return None
    return Heard(status=status, trouble=trouble, octets=octets, took=timedelta(milliseconds=took))


def _ahead(db: apsw.Connection) -> int:
    """Return by how much the clock is ahead of the count that waits are measured by, as it was looked at last."""
    rows = fetch(db, "SELECT key, value FROM meta WHERE key IN ('clock', 'served')")
    looked = {key: int(value) for key, value in rows}
    return looked.get("clock", 0) - looked.get("served", 0)


def _instant(served: int | None, ahead: int) -> datetime | None:
    return None if served is None or served == NEVER else from_ms(served + ahead)

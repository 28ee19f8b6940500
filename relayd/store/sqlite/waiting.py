"""Unfinished recipients counted by what they have in common. Reads them alone, and no history."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import apsw

from relayd.mail.ids import MessageId, received_at_of
from relayd.ports.view import Query
from relayd.ports.waiting import By, Waiting, together, waiting
from relayd.store.sqlite.search import Search
from relayd.store.sqlite.values import fetch, from_ms

_AT_ONCE = 1000  # recipients found in one step

_VALUES = {
    By.DOMAIN: "substr(r.address_key, 1, instr(r.address_key, '@') - 1)",
    By.SENDER: "m.reverse_path",
    By.DESTINATION: "r.destination",
    By.TAG: "coalesce(m.tag, '')",
    By.USER: "coalesce(m.auth_user, '')",
}
# Each has an index of its own, so that finished recipients are not read.
_ALL = (
    "recipient r WHERE r.state = 'queued' AND r.slot IS NULL",
    "recipient r WHERE r.state = 'queued' AND r.slot IS NOT NULL",
    "recipient r WHERE r.state = 'held'",
)
_FOUND = (
    "json_each(?) wanted CROSS JOIN recipient r"
    " WHERE r.message_id = wanted.value->>0 AND r.number = wanted.value->>1"
)


def count(db: apsw.Connection, query: Query, by: By) -> Sequence[Waiting]:
    """Return what waits of what matches."""
    query = replace(query, unfinished=True)
    rows = _of_all(db, by) if query == Query(unfinished=True) else _of_found(db, query, by)
    return together(
        waiting(
            value,
            state,
            has_failed=bool(has_failed),
            count=number,
            oldest=received_at_of(MessageId(first)),
            first=None if due is None else from_ms(due),
        )
        for value, state, has_failed, number, first, due in rows
    )


def _of_all(db: apsw.Connection, by: By) -> Iterator[tuple[Any, ...]]:
    for rows in _ALL:
        yield from fetch(db, _sql(rows, by))


def _of_found(db: apsw.Connection, query: Query, by: By) -> Iterator[tuple[Any, ...]]:
    search, sql = Search(db, query), _sql(_FOUND, by)
    while not search.is_done:
        keys = search.step(_AT_ONCE)
        yield from fetch(db, sql, (str([[*key] for key in keys]),))


def _sql(rows: str, by: By) -> str:
    value = _VALUES[by]
    if value.find("m.") >= 0:
        rows = rows.replace(" WHERE ", " CROSS JOIN message m WHERE m.id = r.message_id AND ")
    return (
        f"SELECT {value}, r.state, r.category IS NOT NULL, count(*), min(r.message_id),"  # noqa: S608 -- constants
        " min(iif(r.state = 'queued' AND r.slot IS NULL, r.next_attempt_at, NULL))"
        f" FROM {rows} GROUP BY 1, 2, 3"
    )

"""Unfinished recipients counted by what they have in common. Reads them alone, and no history."""

from dataclasses import replace
from typing import Any

import apsw

from relayd.mail.ids import MessageId, received_at_of
from relayd.ports.view import Query
from relayd.ports.waiting import By, Counted, together, waiting
from relayd.store.sqlite.paths import Path
from relayd.store.sqlite.search import Search
from relayd.store.sqlite.values import fetch, from_ms

_AT_ONCE = 1000  # recipients found in one step
_STEPS = 50  # of a bounded search

_VALUES = {
    By.DOMAIN: "substr(r.address_key, 1, instr(r.address_key, '@') - 1)",
    By.SENDER: "m.reverse_path",
    By.DESTINATION: "r.destination",
    By.TAG: "coalesce(m.tag, '')",
    By.USER: "coalesce(m.auth_user, '')",
}
# By the index of kinds, so that finished recipients are not read.
_ALL = "recipient r INDEXED BY recipient_by_kind WHERE r.state IN ('queued', 'held')"
_FOUND = (
    "json_each(?) wanted CROSS JOIN recipient r"
    " WHERE r.message_id = wanted.value->>0 AND r.number = wanted.value->>1"
)


def count(db: apsw.Connection, query: Query, by: By, most: int | None) -> Counted:
    """Return what waits of what matches, of the newest if that is more than `most`."""
    query = replace(query, unfinished=True)
    search = Search(db, query)
    if query == Query(unfinished=True):
        since = None if most is None else search.reach(most)
        rows = (
            fetch(db, _sql(_ALL, by))
            if since is None
            else _of_newest(db, search.leading, by, since)
        )
    else:
        rows, since = _of_found(db, search, by, most)
    groups = together(
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
    return Counted(groups, None if since is None else received_at_of(MessageId(since)))


def _of_newest(db: apsw.Connection, path: Path, by: By, since: int) -> list[tuple[Any, ...]]:
    rows = f"{path.table('r')} WHERE {path.matches('r')} AND r.message_id >= ?"
    sql = _sql(rows, by)
    return [row for choice in path.choices for row in fetch(db, sql, (*choice, since))]


def _of_found(
    db: apsw.Connection, search: Search, by: By, most: int | None
) -> tuple[list[tuple[Any, ...]], int | None]:
    """Return the rows of what is found, and the oldest message that was looked at, if there are older ones."""
    sql, found, counted, steps = _sql(_FOUND, by), [], 0, 0
    while not search.is_done and (most is None or (counted < most and steps < _STEPS)):
        keys = search.step(_AT_ONCE)
        found += fetch(db, sql, (str([[*key] for key in keys]),))
        counted += len(keys)
        steps += 1
    return found, None if search.is_done else search.place[0]


def _sql(rows: str, by: By) -> str:
    value = _VALUES[by]
    if value.find("m.") >= 0:
        rows = rows.replace(" WHERE ", " CROSS JOIN message m WHERE m.id = r.message_id AND ")
    return (
        f"SELECT {value}, r.state, r.category IS NOT NULL, count(*), min(r.message_id),"  # noqa: S608 -- constants
        " min(iif(r.state = 'queued' AND r.slot IS NULL, r.next_attempt_at, NULL))"
        f" FROM {rows} GROUP BY 1, 2, 3"
    )

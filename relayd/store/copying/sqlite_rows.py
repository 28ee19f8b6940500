"""Rows of a copy, read from the tables of a queue file and added to them."""

from collections.abc import Mapping, Sequence

import apsw

from relayd.store.copying.side import Row
from relayd.store.copying.tables import META, RECIPIENT, SHARED_META, Table

_SITES, _SECRET = "site_revision", "secret"  # rows of meta; all but the second are numbers
_COPIED_META = (
    "(SELECT key, CAST(value AS BLOB) AS value FROM (SELECT key, value FROM meta UNION ALL"  # noqa: S608 -- constants
    f" SELECT '{_SITES}', last FROM site_revision) WHERE {SHARED_META} AND CAST(value AS BLOB) <> x'30')"
)
_FROM: Mapping[str, str] = {
    META: _COPIED_META,
    "destination": "(SELECT * FROM destination WHERE paused_until > 0 OR paused_for <> '')",
}
_AS: Mapping[tuple[str, str], str] = {
    ("event", "number"): "t.id",
    ("came_back", "place"): "t.rowid",
    (RECIPIENT, "slot"): "CASE WHEN slot < 0 THEN slot END",
    (RECIPIENT, "next_attempt_at"): (
        "CASE WHEN state IN ('queued', 'held') THEN next_attempt_at ELSE 0 END"
    ),
    (RECIPIENT, "possible_duplicate"): (
        "CASE WHEN slot > 0 THEN max(possible_duplicate, 1) ELSE possible_duplicate END"
    ),
    (RECIPIENT, "siblings"): (
        "(SELECT count(*) FROM recipient s WHERE s.message_id = t.message_id)"
    ),
}
_DERIVED = {(RECIPIENT, "siblings")}  # columns that a queue file does not have


def source(table: Table) -> str:
    """Return what has the rows of a table that are copied, as SQL."""
    return f"{_FROM.get(table.name, table.name)} t"


def page(table: Table, *, is_first: bool) -> str:
    """Return the SQL of a piece: keys, then columns. Its bindings are a key, if it is not the first, and the number of rows."""
    keys, columns = _names(table, table.key), _names(table, table.columns)
    behind = "" if is_first else f" WHERE ({', '.join(keys)}) > ({', '.join('?' * len(keys))})"
    return (
        f"SELECT {', '.join(keys + columns)} FROM {source(table)}{behind}"  # noqa: S608 -- constants
        f" ORDER BY {', '.join(keys)} LIMIT ?"
    )


def add(db: apsw.Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add rows to a table, in a transaction."""
    if table.name == META:
        _add_meta(db, rows)
        return
    kept = [n for n, each in enumerate(table.columns) if (table.name, each) not in _DERIVED]
    columns = ", ".join(_column(table, table.columns[n]) for n in kept)
    sql = f"INSERT INTO {table.name} ({columns}) VALUES ({', '.join('?' * len(kept))})"  # noqa: S608 -- constants
    whole = len(kept) == len(table.columns)
    db.executemany(sql, rows if whole else [[row[n] for n in kept] for row in rows])


def _add_meta(db: apsw.Connection, rows: Sequence[Row]) -> None:
    for key, value in rows:
        if key == _SITES:
            db.execute("UPDATE site_revision SET last = ?", (int(value),))
        else:
            kept = value if key == _SECRET else int(value)
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, kept))


def _names(table: Table, columns: Sequence[str]) -> list[str]:
    return [_AS.get((table.name, each), f't."{each}"') for each in columns]


def _column(table: Table, name: str) -> str:
    return "id" if (table.name, name) == ("event", "number") else f'"{name}"'

"""Rows of a copy, read from the tables of a database and added to them."""

from collections.abc import Mapping, Sequence

from relayd.store.copying.side import Row
from relayd.store.copying.tables import MESSAGES, META, RECIPIENT, SHARED_META, Table
from relayd.store.postgres import meta, partitions
from relayd.store.postgres.line import Session

QUEUE = "queue"  # the recipients that are not finished
_FINISHED = ("slot", "next_attempt_at")  # what a finished recipient does not have
_UNFINISHED = frozenset({"queued", "held"})
_ID_EPOCH = 1_577_836_800_000  # relayd.mail.ids: 2020
_FROM: Mapping[str, str] = {
    RECIPIENT: "every_recipient",
    META: (
        f"(SELECT * FROM meta WHERE {SHARED_META} AND value <> '0'::bytea)"  # noqa: S608 -- constants
    ),
    "destination": "(SELECT * FROM destination WHERE paused_until > 0 OR paused_for <> '')",
}
_AS: Mapping[tuple[str, str], str] = {
    ("came_back", "place"): "t.ctid",
    (RECIPIENT, "slot"): "CASE WHEN slot < 0 THEN slot END",
    (RECIPIENT, "possible_duplicate"): (
        "CASE WHEN slot > 0 THEN greatest(possible_duplicate, 1) ELSE possible_duplicate END"
    ),
}
_IN_PART = {META, "destination"}
_FOLDED = {"tally", "tally_delay"}  # tables whose key has the value in lower case


def source(table: Table) -> str:
    """Return what has the rows of a table that are copied, as SQL."""
    return f"{_FROM.get(table.name, table.name)} t"


def is_in_part(table: Table) -> bool:
    """Tell whether only some rows of a table are copied."""
    return table.name in _IN_PART


def page(table: Table, *, is_first: bool) -> str:
    """Return the SQL of a piece: keys, then columns. Its parameters are the number of rows and, if it is not the first, a key."""
    keys, columns = _keys(table), [_read(table, each) for each in table.columns]
    marks = ", ".join(f"${n}" for n in range(2, 2 + len(keys)))
    behind = "" if is_first else f" WHERE ({', '.join(keys)}) > ({marks})"
    return (
        f"SELECT {', '.join(keys + columns)} FROM {source(table)}{behind}"  # noqa: S608 -- constants
        f" ORDER BY {', '.join(keys)} LIMIT $1"
    )


async def add(db: Session, table: Table, rows: Sequence[Row]) -> None:
    """Add rows to a table, or to those that it is here."""
    if table.name == RECIPIENT:
        await _add_recipients(db, table, rows)
    elif table.name == META:
        await _add_meta(db, rows)
    elif table is MESSAGES:
        await _add_messages(db, table, rows)
    else:
        await db.add(table.name, table.columns, _typed(table, rows))


async def _add_messages(db: Session, table: Table, rows: Sequence[Row]) -> None:
    for week in sorted({row[0] // partitions.WEEK for row in rows}):
        first_ms = -(-week * partitions.WEEK >> 21) + _ID_EPOCH
        await partitions.make(db, first_ms, behind=0, ahead=0)
    await db.add(table.name, table.columns, rows)


async def _add_recipients(db: Session, table: Table, rows: Sequence[Row]) -> None:
    """Add recipients to those that are finished, and to those that are not."""
    state = table.columns.index("state")
    typed = _typed(table, rows)
    waiting = [row for row in typed if row[state] in _UNFINISHED]
    kept = [n for n, name in enumerate(table.columns) if name not in _FINISHED]
    over = [tuple(row[n] for n in kept) for row in typed if row[state] not in _UNFINISHED]
    if waiting:
        await db.add(QUEUE, table.columns, waiting)
    if over:
        await db.add(RECIPIENT, [table.columns[n] for n in kept], over)


async def _add_meta(db: Session, rows: Sequence[Row]) -> None:
    for key, value in rows:
        await meta.write(db, key, value)


def _typed(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the rows as the columns want them."""
    if not table.flags:
        return rows
    are = [name in table.flags for name in table.columns]
    return [
        tuple(bool(value) if is_flag else value for value, is_flag in zip(row, are, strict=True))
        for row in rows
    ]


def _keys(table: Table) -> list[str]:
    names = [_AS.get((table.name, each), f't."{each}"') for each in table.key]
    return [
        "lower(t.value)" if table.name in _FOLDED and "value" in each else each for each in names
    ]


def _read(table: Table, name: str) -> str:
    named = _AS.get((table.name, name), f't."{name}"')
    return f"{named}::int" if name in table.flags else named

"""Filters of very many values, such as a network of thousands of clients: gathered before they are used.

If little mail has one of the values, that mail is looked up at once and leads the search. Else a search
only compares with them, and may leave out newer mail that has none.
"""

import apsw

from relayd.store.sqlite.paths import Path, with_trouble
from relayd.store.sqlite.values import fetch

_FEW = 20_000  # messages that are looked up at once


def gathered(db: apsw.Connection, path: Path, trouble: Path | None, low: int, high: int) -> Path:
    """Return a filter that a search can use, of messages between two ids.

    If only some kinds of `trouble` are asked for, those are looked up.
    """
    wanted, found = f"temp.wanted_{path.index}", f"found_{path.index}"
    how = path.value_of("r").partition(" ")[2]
    db.execute(
        f"DROP TABLE IF EXISTS {wanted}; DROP TABLE IF EXISTS temp.{found};"
        f"CREATE TABLE {wanted} (value TEXT {how} PRIMARY KEY) WITHOUT ROWID;"
        f"CREATE TABLE temp.{found} (id INTEGER PRIMARY KEY)"
    )
    db.execute(
        f"INSERT OR IGNORE INTO {wanted} SELECT value FROM json_each(?) AS given",  # noqa: S608 -- constants
        path.bound(),
    )
    both = None if trouble is None else with_trouble(path)
    where = both or path
    more = "" if trouble is None or both is None else f" AND {trouble.is_any('r')}"
    # They are kept only if they are few: a table of all takes longer than to look them up.
    messages = fetch(
        db,
        f"SELECT r.{where.id} FROM {wanted} AS wanted CROSS JOIN {where.table('r')}"  # noqa: S608 -- constants
        f" WHERE {where.value_of('r')} = wanted.value{more} AND r.{where.id} BETWEEN ? AND ? LIMIT ?",
        (*(trouble.bound() if trouble and more else ()), low, high, _FEW + 1),
    )
    if len(messages) > _FEW:
        sql = f"{path.value_of('{0}')} IN {wanted}"
        return Path(path.index, sql, [()], path.covers, leads=False)
    db.execute(
        f"INSERT OR IGNORE INTO temp.{found} SELECT value FROM json_each(?) AS given",  # noqa: S608 -- constants
        (str([message_id for (message_id,) in messages]),),
    )
    return Path(found, "1", [()], path.covers)


def nearest(db: apsw.Connection, path: Path, edge: int, *, is_back: bool) -> int | None:
    """Return the newest message up to an id that has one of the values of a gathered filter; None without any.

    With `is_back` it is the oldest from that id on.
    """
    column = path.matches("r").partition(" IN ")[0]
    first, reaches = ("min", ">=") if is_back else ("max", "<=")
    sql = (
        f"SELECT {first}((SELECT {first}(r.id) FROM {path.table('r')} WHERE {column} = wanted.value"  # noqa: S608 -- constants
        f" AND r.id {reaches} ?)) FROM temp.wanted_{path.index} AS wanted"
    )
    [(found,)] = fetch(db, sql, (edge,))
    return None if found is None else int(found)

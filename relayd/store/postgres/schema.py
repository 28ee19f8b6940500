"""Numbered files of SQL that bring a database to the schema of this relayd.

Each says in its first line if it may run while older relays work with the database (`expand`), or only once
none does (`contract`). One process at a time applies them, under an advisory lock of the transaction.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from relayd.errors import SchemaMismatch, StoreUnavailable
from relayd.store.postgres.line import Session

_FOLDER = Path(__file__).with_name("schema")
_LOCK = 0x72656C61  # "rela"
_TABLE = "CREATE TABLE IF NOT EXISTS schema_step (number int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"


@cache
def steps() -> Sequence[tuple[int, str]]:
    """Return the files by their numbers."""
    return sorted((int(file.name[:4]), file.read_text()) for file in _FOLDER.glob("*.sql"))


def newest() -> int:
    """Return the version of the schema that this relayd writes."""
    return steps()[-1][0]


async def version(db: Session) -> int:
    """Return the version of the database; 0: it has none of our tables."""
    if await db.value("SELECT to_regclass('schema_step')") is None:
        return 0
    return int(await db.value("SELECT coalesce(max(number), 0) FROM schema_step"))


async def apply(db: Session, upgrading: Callable[[int, int], None] | None = None) -> None:
    """Bring the database up to date. Raises SchemaMismatch for that of a newer relayd.

    `upgrading` is told of each step ahead of it, and which is the last, but where the database was empty.
    """
    if await version(db) == newest():
        return
    await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    await db.execute(_TABLE)
    there = await version(db)
    _check(there)
    for number, script in steps():
        if number > there:
            if there and upgrading is not None:
                upgrading(number, newest())
            await db.script(script)
            await db.execute("INSERT INTO schema_step (number) VALUES ($1)", number)


async def expect(db: Session) -> None:
    """Raise StoreUnavailable for a database that is not up to date, SchemaMismatch for one that is newer."""
    there = await version(db)
    _check(there)
    if there < newest():
        raise StoreUnavailable(
            f"the database has schema {there}, this relayd reads {newest()}: start relayd, which brings it up to date"
        )


def _check(there: int) -> None:
    if there > newest():
        raise SchemaMismatch(
            f"the database has schema {there}, this relayd knows up to {newest()}: install the newer version"
        )

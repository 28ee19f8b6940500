"""Numbered files of SQL that bring a database to the schema of this relayd, and which of them a database has.

Each says in its first line if it may run while an older relayd works with the database (`expand`), or only once
none does (`contract`). So a relayd works with each database that has all its files that expand, and no file that
contracts which it does not know. `relayd.store.postgres.upgrade` applies them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from relayd.errors import SchemaMismatch, StoreUnavailable
from relayd.ports.schema import StepKind
from relayd.store.postgres.line import Session

_FOLDER = Path(__file__).with_name("schema")
_FIRST_LINE = re.compile(r"-- (expand|contract)\n")
_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY (\w+)", re.MULTILINE)
_HAS_TABLE = "SELECT to_regclass('schema_step') IS NOT NULL"
_APPLIED = "SELECT number, name, kind, at FROM schema_step ORDER BY number"
_NEWER = "SELECT max(number) FROM schema_step WHERE kind = 'contract' AND number > $1"

TABLE = """
CREATE TABLE IF NOT EXISTS schema_step (
    number int PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,               -- so that an older relayd knows what it may work with
    at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A file."""

    number: int
    name: str
    kind: StepKind
    script: str

    @property
    def index(self) -> str | None:
        """The index that is all it makes, without a lock and thus without a transaction; None: it is another step."""
        found = _INDEX.search(self.script)
        return found[1] if found else None


class Applied(NamedTuple):
    """A step that a database has."""

    name: str
    kind: StepKind
    at: datetime


@cache
def steps() -> Sequence[Step]:
    """Return the files by their numbers."""
    return [_read(file) for file in sorted(_FOLDER.glob("*.sql"))]


def _read(file: Path) -> Step:
    script = file.read_text(encoding="utf-8")
    found = _FIRST_LINE.match(script)
    assert found, f"{file.name} says in its first line neither expand nor contract"
    return Step(int(file.name[:4]), file.stem, StepKind(found[1]), script)


def newest() -> int:
    """Return the highest schema that this relayd works with, but for what expands."""
    return steps()[-1].number


def oldest() -> int:
    """Return the lowest schema that this relayd works with: it has all that expands."""
    return max(step.number for step in steps() if step.kind is StepKind.EXPAND)


async def applied(db: Session) -> Mapping[int, Applied]:
    """Return the steps that the database has, by their numbers."""
    if not await db.value(_HAS_TABLE):
        return {}
    return {
        number: Applied(name, StepKind(kind), at)
        for number, name, kind, at in await db.fetch(_APPLIED)
    }


def check(there: Mapping[int, Applied]) -> None:
    """Raise SchemaMismatch for the steps of a database that this relayd cannot work with."""
    for number, step in there.items():
        if number > newest() and step.kind is StepKind.CONTRACT:
            raise SchemaMismatch(_newer(number))


def missing(there: Mapping[int, Applied]) -> Sequence[Step]:
    """Return the steps that a database lacks, in their order."""
    return [step for step in steps() if step.number not in there]


def is_ready(there: Mapping[int, Applied]) -> bool:
    """Tell whether nothing is missing that this relayd needs."""
    return all(step.kind is StepKind.CONTRACT for step in missing(there))


async def expect(db: Session) -> None:
    """Raise StoreUnavailable for a database that lacks what this relayd needs, SchemaMismatch for one that is newer."""
    there = await applied(db)
    check(there)
    if not is_ready(there):
        raise StoreUnavailable(
            f"the database has schema {max(there, default=0)}, this relayd reads {oldest()}:"
            " start relayd, which brings it up to date"
        )


async def why_too_new(db: Session) -> str:
    """Return why this relayd cannot work with the database any more; empty: it can."""
    number = await db.value(_NEWER, newest())
    return "" if number is None else _newer(number)


def _newer(number: int) -> str:
    return f"the database has schema {number}, this relayd knows up to {newest()}: install the newer version"

"""Counting the history into the tally, a batch of events at a time (ADR 11).

Events have ids in the order of their commits, so one number says which are counted. It moves in the transaction
that adds what they came to: each event counts once, whatever dies when. A batch is read beside the writer,
which only adds up. What is not yet a batch is counted by each question for itself.
"""

from dataclasses import dataclass
from typing import Any

import apsw

from relayd.mail.tally import COUNTED, KEPT, OCTAVE, SPANS
from relayd.store.sqlite.values import fetch
from relayd.store.tallies import (
    DIMENSIONS,
    GROWN,
    GROWN_DELAYS,
    KINDS,
    STEP,
    Sums,
    counts_as,
    sums_of,
    values_of,
)

_VALUES = values_of(
    detail="e.detail", domain="substr(r.address_key, 1, instr(r.address_key, '@') - 1)"
)

# The events between two ids, with all that they are counted by. The order of the joins is that of the ids.
FACTS = (
    "SELECT e.at AS happened,"  # noqa: S608 -- constants
    f" {STEP} AS at, {counts_as('e.detail')} AS what, '' AS everything,"
    f" {', '.join(f'{sql} AS {name}' for name, sql in _VALUES.items())},"
    " CASE WHEN e.kind IN ('sent', 'relayed')"
    f" THEN CAST({OCTAVE} * log2(max(e.at - m.received_at, 1)) AS INTEGER) END AS class"
    " FROM event e CROSS JOIN message m ON m.id = e.message_id"
    " CROSS JOIN recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
    f" WHERE e.id > :after AND e.id <= :upto AND e.kind IN ({KINDS})"
)
_READ = f"SELECT at, what, class, {', '.join(DIMENSIONS)} FROM ({FACTS})"  # noqa: S608 -- constants
_ADD = (
    f"INSERT INTO tally AS t VALUES (?, ?, ?, ?, {', '.join('?' * len(COUNTED))})"  # noqa: S608 -- constants
    f" ON CONFLICT DO UPDATE SET {GROWN}"
)
_ADD_DELAYS = (
    "INSERT INTO tally_delay AS t VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 -- constants
    f" ON CONFLICT DO UPDATE SET {GROWN_DELAYS}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Events that are not counted."""

    seen: int  # what the number was when this was read
    after: int
    upto: int  # the id of the last one
    last: tuple[Any, ...]  # and what it is
    begins: int | None  # the instant from which on there are numbers; None: not yet

    @property
    def ids(self) -> dict[str, int]:
        return {"after": self.after, "upto": self.upto}


def uncounted(db: apsw.Connection, most: int) -> Range | None:
    """Return the next events to count, so many at most; None when all are counted.

    The history of an older relayd has no receptions before a certain event: from there on there are numbers.
    """
    seen = read_meta(db, "tallied") or 0
    begins = read_meta(db, "tally_begins")
    first = db.execute("SELECT min(id) FROM event WHERE id > ?", (seen,)).get
    if first is None:
        return None
    after = first - 1
    last = fetch(
        db,
        "SELECT id, message_id, at FROM event WHERE id <= ? ORDER BY id DESC LIMIT 1",
        (after + most,),
    )[0]
    if begins is None:
        found = fetch(
            db,
            "SELECT id, at FROM event WHERE id > ? AND id <= ? AND kind = 'received' ORDER BY id LIMIT 1",
            (after, last[0]),
        )
        after, begins = (found[0][0] - 1, found[0][1]) if found else (last[0], None)
    return Range(seen=seen, after=after, upto=last[0], last=last, begins=begins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What some events came to."""

    of: Range
    sums: Sums


def batch(db: apsw.Connection, *, least: int, most: int) -> Batch | None:
    """Count the next events, so many at most, reading only; None while there are fewer than `least`."""
    with db:
        newest = db.execute("SELECT max(id) FROM event").get or 0
        if newest - (read_meta(db, "tallied") or 0) < least:
            return None
        found = uncounted(db, most)
        rows = [] if found is None else fetch(db, _READ, found.ids)
    if found is None:
        return None
    return Batch(of=found, sums=sums_of(rows))


def add(db: apsw.Connection, counted: Batch, *, now: int) -> None:
    """Add what was counted to the steps that are kept; nothing if another worker did.

    Nor if the history is no longer what was read.
    """
    of = counted.of
    is_there = db.execute(
        "SELECT 1 FROM event WHERE id = ? AND message_id = ? AND at = ?", of.last
    ).get
    if not is_there or read_meta(db, "tallied") != of.seen:
        return
    for span, time in KEPT.items():
        keep_from(db, span, now - time)
    for span, low in kept_from(db).items():
        db.executemany(_ADD, counted.sums.rows(span, low))
        db.executemany(_ADD_DELAYS, counted.sums.delay_rows(span, low))
    write_meta(db, "tallied", of.upto)
    if of.begins is not None:
        write_meta(db, "tally_begins", of.begins)


def kept_from(db: apsw.Connection) -> dict[int, int]:
    """Return for each span from when on its steps are complete."""
    return {span: read_meta(db, f"tally_from_{span}") or 0 for span in SPANS}


def keep_from(db: apsw.Connection, span: int, at: int) -> None:
    """Say that steps of a span are complete from then on."""
    name = f"tally_from_{span}"
    write_meta(db, name, max(read_meta(db, name) or 0, at - at % span))


def read_meta(db: apsw.Connection, name: str) -> int | None:
    found: int | None = db.execute("SELECT value FROM meta WHERE key = ?", (name,)).get
    return found


def write_meta(db: apsw.Connection, name: str, value: int) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

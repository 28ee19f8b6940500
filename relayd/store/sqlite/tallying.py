"""Counting the history into the tally, a batch of events at a time (ADR 11).

Events have ids in the order of their commits, so one number says which are counted. It moves in the transaction
that adds what they came to: each event counts once, whatever dies when. A batch is read beside the writer,
which only adds up. What is not yet a batch is counted by each question for itself.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apsw

from relayd.mail.tally import COUNTED, KEPT, OCTAVE, SPANS, TEN_MINUTES, Dimension
from relayd.store.sqlite.values import fetch

_VALUES: Mapping[Dimension, str] = {
    Dimension.SENDER: "m.reverse_path",
    Dimension.TAG: "coalesce(m.tag, '')",
    Dimension.USER: "coalesce(m.auth_user, '')",
    Dimension.DOMAIN: "substr(r.address_key, 1, instr(r.address_key, '@') - 1)",
    Dimension.DESTINATION: "r.destination",
    Dimension.CATEGORY: "CASE WHEN e.kind NOT IN ('received', 'sent', 'relayed', 'complained', 'dropped')"
    " THEN e.detail->>'category' END",
    Dimension.CLIENT: "m.client_ip",
}
# What an event counts as: its kind, or the class of a bounce, as its place in COUNTED.
_COUNTS_AS = (
    "CASE e.kind WHEN 'bounced' THEN CASE e.detail->>'bounce_class' WHEN 'hard' THEN 4 WHEN 'soft' THEN 6 ELSE 5 END"
    + "".join(f" WHEN '{name}' THEN {COUNTED.index(name)}" for name in COUNTED[:4] + COUNTED[7:])
    + " END"
)
_KINDS = ", ".join(f"'{name}'" for name in (*COUNTED[:4], "bounced", *COUNTED[7:]))
SUMS = ", ".join(f"sum({name})" for name in COUNTED)
GROWN = ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTED)

# The events between two ids, with all that they are counted by. The order of the joins is that of the ids.
FACTS = (
    "SELECT e.at AS happened,"  # noqa: S608 -- constants
    f" e.at / {TEN_MINUTES} * {TEN_MINUTES} AS at, {_COUNTS_AS} AS what, '' AS everything,"
    f" {', '.join(f'{sql} AS {name}' for name, sql in _VALUES.items())},"
    " CASE WHEN e.kind IN ('sent', 'relayed')"
    f" THEN CAST({OCTAVE} * log2(max(e.at - m.received_at, 1)) AS INTEGER) END AS class"
    " FROM event e CROSS JOIN message m ON m.id = e.message_id"
    " CROSS JOIN recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
    f" WHERE e.id > :after AND e.id <= :upto AND e.kind IN ({_KINDS})"
)
DIMENSIONS = ("everything", *Dimension)  # by their numbers
_READ = f"SELECT at, what, class, {', '.join(DIMENSIONS)} FROM ({FACTS})"  # noqa: S608 -- constants
_ADD = (
    f"INSERT INTO tally VALUES (?, ?, ?, ?, {', '.join('?' * len(COUNTED))})"  # noqa: S608 -- constants
    f" ON CONFLICT DO UPDATE SET {GROWN}"
)
_ADD_DELAYS = (
    "INSERT INTO tally_delay VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET recipients = recipients + excluded.recipients"
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
    counts: dict[tuple[int, int, str], list[int]]  # of a dimension, a step and a value
    delays: dict[tuple[int, str, int, int], int]  # of a dimension, a value, a step and a class


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
    counted = Batch(of=found, counts={}, delays={})
    for (number, value, at, what, delay), events in _counted(rows).items():
        key = number, at, value
        if key not in counted.counts:
            counted.counts[key] = [0] * len(COUNTED)
        counted.counts[key][what] += events
        if delay is not None:
            each = number, value, at, delay
            counted.delays[each] = counted.delays.get(each, 0) + events
    return counted


def _counted(rows: list[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
    """Return how many events have the same dimension and value, step, meaning and class of delay."""
    if not rows:
        return {}
    at, what, delay, *columns = zip(*rows, strict=True)
    return {
        (number, *key): events
        for number, column in enumerate(columns)
        for key, events in Counter(zip(column, at, what, delay, strict=True)).items()
        if key[0] is not None
    }


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
    counts, delays = sorted(counted.counts.items()), sorted(counted.delays.items())
    for span, low in kept_from(db).items():
        db.executemany(
            _ADD,
            [
                (span, number, at - at % span, value, *row)
                for (number, at, value), row in counts
                if at >= low
            ],
        )
        db.executemany(
            _ADD_DELAYS,
            [
                (span, number, value, at - at % span, each, recipients)
                for (number, value, at, each), recipients in delays
                if at >= low
            ],
        )
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

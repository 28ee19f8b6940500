"""Counting the history into the tally, a batch of events at a time (ADR 11).

Events have numbers in the order of their commits for who reads below `SEEN`, so one number says which are
counted. It moves in the transaction that adds what they came to, and its row is locked first: who counts or
tidies does it alone, and each event counts once, whatever dies when. What is not yet a batch is counted by each
question for itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from relayd.mail.tally import COUNTED, KEPT, SPANS, delay_class
from relayd.store.postgres import meta
from relayd.store.postgres.events import SEEN
from relayd.store.postgres.line import Session
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

TALLIED = "tallied"
BEGINS = "tally_begins"
KEY = "(span, dimension, at, lower(value))"
DELAY_KEY = "(span, dimension, lower(value), at, class)"

_TAKE = "INSERT INTO meta (key, value) VALUES ('tallied', '0') ON CONFLICT (key) DO UPDATE SET value = meta.value"
_NEXT = (
    "SELECT count(*), max(number) FROM (SELECT number FROM event"  # noqa: S608 -- constants
    f" WHERE number > $1 AND number < {SEEN} ORDER BY number LIMIT $2) few"
)
_BEGINS = "SELECT at FROM event WHERE number > $1 AND number <= $2 AND kind = 'received' ORDER BY number LIMIT 1"
_DETAIL = "e.detail::json"
_VALUES = values_of(detail=_DETAIL, domain="split_part(r.address_key, '@', 1)")
# The events between two numbers, with all that they are counted by. Each part has a limit of its own, so that the
# planner has no other choice than to look up what it needs by the index, whatever it thinks of the history's size.
_FACTS = (
    f"SELECT {STEP}, {counts_as(_DETAIL)},"  # noqa: S608 -- constants
    " CASE WHEN e.kind IN ('sent', 'relayed') THEN e.at - m.received_at END, '',"
    f" {', '.join(_VALUES[each] for each in _VALUES)}"
    f" FROM (SELECT * FROM event WHERE number > $1 AND number <= $2 AND kind IN ({KINDS}) ORDER BY number LIMIT $3) e"
    " CROSS JOIN LATERAL (SELECT * FROM message WHERE id = e.message_id LIMIT 1) m"
    " CROSS JOIN LATERAL (SELECT destination, address_key FROM every_recipient"
    " WHERE message_id = e.message_id AND number = e.recipient LIMIT 1) r"
)
_ADD = (
    f"INSERT INTO tally AS t VALUES ({', '.join(f'${each}' for each in range(1, 5 + len(COUNTED)))})"  # noqa: S608
    f" ON CONFLICT {KEY} DO UPDATE SET {GROWN}"
)
_ADD_DELAYS = (
    "INSERT INTO tally_delay AS t VALUES ($1, $2, $3, $4, $5, $6)"  # noqa: S608 -- constants
    f" ON CONFLICT {DELAY_KEY} DO UPDATE SET {GROWN_DELAYS}"
)

assert tuple(_VALUES) == DIMENSIONS[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Events that are not counted."""

    after: int  # the number of the last one that is
    upto: int  # that of the last one of these
    events: int
    begins: int | None  # the instant from which on there are numbers; None: not yet


async def uncounted(db: Session, most: int, *, least: int = 1) -> Range | None:
    """Return the next events to count, so many at most; None while there are fewer than `least`."""
    after = await tallied(db)
    [(events, upto)] = await db.fetch(_NEXT, after, most)
    if events < least:
        return None
    begins = await begins_at(db)
    if begins is None:
        begins = await db.value(_BEGINS, after, upto)
    return Range(after=after, upto=upto, events=events, begins=begins)


async def sums(db: Session, found: Range) -> Sums:
    """Add up those events."""
    return sums_of(
        [
            (at, what, None if delay is None else delay_class(delay), *values)
            for at, what, delay, *values in await db.fetch(
                _FACTS, found.after, found.upto, found.events
            )
        ]
    )


async def count(db: Session, *, least: int, most: int, now: int) -> bool:
    """Count the next events, so many at most; False, and nothing, while there are fewer than `least`.

    Begins a transaction if there are enough: most looks find fewer.
    """
    found = await uncounted(db, most, least=least)
    if found is None:
        return False
    await db.begin()
    await take(db)
    if await tallied(db) != found.after:
        return True  # another worker did
    counted = await sums(db, found)
    for span, time in KEPT.items():
        await keep_from(db, span, now - time)
    for span, low in (await kept_from(db)).items():
        await db.many(_ADD, counted.rows(span, low))
        await db.many(_ADD_DELAYS, counted.delay_rows(span, low))
    await meta.write_number(db, TALLIED, found.upto)
    if found.begins is not None:
        await meta.write_number(db, BEGINS, found.begins)
    return True


async def take(db: Session) -> None:
    """Let nobody else count or tidy before this transaction ends."""
    await db.execute(_TAKE)


async def tallied(db: Session) -> int:
    """Return the number of the last event that is counted."""
    return int(await db.value("SELECT number FROM tally_state WHERE key = $1", TALLIED) or 0)


async def begins_at(db: Session) -> int | None:
    """Return the instant from which on there are numbers; None: there are none."""
    begins, _ = await complete_from(db)
    return begins


async def kept_from(db: Session) -> Mapping[int, int]:
    """Return for each span from when on its steps are complete."""
    _, kept = await complete_from(db)
    return kept


async def complete_from(db: Session) -> tuple[int | None, Mapping[int, int]]:
    """Return what `begins_at` and `kept_from` do, by one statement."""
    names = {span: f"tally_from_{span}" for span in SPANS}
    found: dict[str, int] = dict(await db.fetch("SELECT key, number FROM tally_state"))
    return found.get(BEGINS), {span: found.get(name, 0) for span, name in names.items()}


async def keep_from(db: Session, span: int, at: int) -> None:
    """Say that steps of a span are complete from then on."""
    name = f"tally_from_{span}"
    before = await meta.number(db, name, 0)
    await meta.write_number(db, name, max(before, at - at % span))

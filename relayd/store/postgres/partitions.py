"""The weeks of the history: `message`, `recipient` and `event` have a partition for each week of ids.

A message has all of its history in one week of each. There is no partition for what has no week, since that
would forbid to detach one without locks: an id from far off, of a node whose clock is wrong, is refused.
"""

from relayd.store.postgres.line import Row, Session

TABLES = ("message", "recipient", "event")
WEEK = 7 * 24 * 3600 * 1000 << 21  # in ids
_AHEAD, _BEHIND = 8, 1  # weeks
_LAST = (1 << 63) // WEEK  # it has the end of all ids
_ID_EPOCH = 1_577_836_800_000  # relayd.mail.ids: 2020
_LOCK = 0x7765656B  # "week"
_LATE = (
    5 * 60 * 1000
)  # milliseconds after its reception, from where on the index knows a recipient as changed late
_COUNTED = 100_000  # messages
_WAITS = 200  # milliseconds that all others wait for us at most: who asks for a table waits behind who wants it alone
_WEEKS = "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'message'::regclass"
_ABOUT = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1::text)"
_WAITING = "SELECT 1 FROM queue WHERE message_id >= $1 AND message_id < $2 LIMIT 1"
# `to_regclass` would tell what this transaction knew before it waited for others.
_THERE = "SELECT relname::text FROM pg_class WHERE relname = ANY($1::name[]) AND pg_table_is_visible(oid)"


def week_of(ms: int) -> int:
    """Return the week of ids that are made at that instant."""
    return min((max(ms - _ID_EPOCH, 0) << 21) // WEEK, _LAST)


async def make(db: Session, now: int, *, behind: int = _BEHIND, ahead: int = _AHEAD) -> None:
    """Make the weeks around an instant that are not there yet."""
    first, last = max(week_of(now) - behind, 0), min(week_of(now) + ahead, _LAST)
    wanted = [(table, week) for week in range(first, last + 1) for table in TABLES]
    names = [f"{table}_w{week}" for table, week in wanted]
    if len(await db.fetch(_THERE, names)) == len(names):
        return
    await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)  # others make them as well
    there = {name for (name,) in await db.fetch(_THERE, names)}
    for (table, week), name in zip(wanted, names, strict=True):
        if name not in there:
            await db.value("SELECT make_week($1, $2)", table, week)


async def over(db: Session, before: int, *, now: int) -> list[int]:
    """Return the weeks that ended before an instant, the oldest first, but those that `make` makes."""
    there = [int(name.rpartition("_w")[2]) for (name,) in await db.fetch(_WEEKS)]
    first_to_stay = min(week_of(now) - _BEHIND, week_of(before - _LATE))
    return sorted(week for week in there if week < first_to_stay)


def ids(week: int) -> tuple[int, int]:
    """Return the first id of a week, and the first one of the next."""
    return week * WEEK, (week + 1) * WEEK


async def size(db: Session, week: int) -> int:
    """Return how many messages a week has; of one with very many, about how many: to count them takes too long."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM message_w{week} LIMIT {_COUNTED}) few"  # noqa: S608 -- a number
    counted = int(await db.value(sql))
    return counted if counted < _COUNTED else max(counted, await about(db, week))


async def about(db: Session, week: int) -> int:
    """Return about how many messages a week has, as the server knew when it looked last."""
    return int(await db.value(_ABOUT, f"message_w{week}") or 0)


async def last_event(db: Session, week: int) -> Row | None:
    """Return number and instant of the last event of a week; None without any."""
    found = await db.fetch(f"SELECT number, at FROM event_w{week} ORDER BY number DESC LIMIT 1")  # noqa: S608 -- a number
    return found[0] if found else None


async def is_finished(db: Session, week: int, before: int, *, counted: int) -> bool:
    """Tell whether nothing in a week is unfinished, changed since an instant, or not counted yet."""
    if await db.fetch(_WAITING, *ids(week)):
        return False
    last = await last_event(db, week)
    if last is not None and (last[0] > counted or last[1] >= before):
        return False
    return not await db.fetch(
        f"SELECT 1 FROM recipient_w{week} WHERE updated_at >= $1"  # noqa: S608 -- a number
        f" AND updated_at > (message_id >> 21) + {_ID_EPOCH + _LATE} LIMIT 1",
        before,
    )


async def drop(db: Session, week: int, *, last: Row | None) -> bool:
    """Drop a week; False, and nothing, if it is in use, or `last` is no longer its last event: something happened.

    Each change of a message has an event. A partition that is dropped takes its parent for itself for an instant.
    DETACH CONCURRENTLY would not, but it is no part of a transaction, waits for all who look, and has to be
    finished (DETACH FINALIZE) by who comes after a crash.
    """

    async def operation() -> bool:
        await db.execute(f"LOCK TABLE ONLY {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
        if await last_event(db, week) != last or await db.fetch(_WAITING, *ids(week)):
            return False
        await db.value("SELECT drop_week($1)", week)
        return True

    return bool(await db.unless_locked(operation, within=_WAITS))

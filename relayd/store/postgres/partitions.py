"""The weeks of the history: `message`, `recipient` and `event` have a partition for each week of ids.

A message has all of its history in one week of each. There is no partition for what has no week, since that
would forbid to detach one without locks: an id from far off, of a node whose clock is wrong, is refused.
"""

from relayd.store.postgres.line import Session

TABLES = ("message", "recipient", "event")
WEEK = 7 * 24 * 3600 * 1000 << 21  # in ids
_AHEAD = 8  # weeks
_LAST = (1 << 63) // WEEK  # it has the end of all ids
_ID_EPOCH = 1_577_836_800_000  # relayd.mail.ids: 2020
_THERE = "SELECT name FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL"


def week_of(ms: int) -> int:
    """Return the week of ids that are made at that instant."""
    return min((max(ms - _ID_EPOCH, 0) << 21) // WEEK, _LAST)


async def make(db: Session, now: int, *, behind: int = 1, ahead: int = _AHEAD) -> None:
    """Make the weeks around an instant that are not there yet."""
    first, last = max(week_of(now) - behind, 0), min(week_of(now) + ahead, _LAST)
    wanted = [(table, week) for week in range(first, last + 1) for table in TABLES]
    names = [f"{table}_w{week}" for table, week in wanted]
    found = await db.fetch(_THERE, names)
    there = {name for (name,) in found}
    for (table, week), name in zip(wanted, names, strict=True):
        if name not in there:
            end = "MAXVALUE" if week == _LAST else (week + 1) * WEEK
            await db.execute(
                f"CREATE TABLE {name} PARTITION OF {table}"
                f" FOR VALUES FROM ({week * WEEK}) TO ({end})"
            )

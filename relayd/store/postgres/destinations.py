"""Destinations inside one transaction: when each has something to do, and which are left alone.

Instants are milliseconds of the wall clock.

Invariant: `due_at` of a destination is never later than its first due recipient, or the end of its pause. Who puts
mail there lowers it, and who takes some raises it; neither sees what the other has not committed. So each looks once
more behind its commit, and whatever the order of the two commits, one of them sees the other.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping

from relayd.policy.delivery.fairness import FEW_LEFT, Head
from relayd.store.postgres.line import Row, Session
from relayd.store.postgres.moment import SERVER_CLOCK

# For `w (key, due_at)`. A destination whose time is early enough is not locked: many put mail there at once.
LOWERED = (
    "u AS (UPDATE destination d SET due_at = greatest(d.paused_until, w.due_at) FROM w WHERE d.key = w.key"
    " AND (d.due_at IS NULL OR d.due_at > greatest(d.paused_until, w.due_at))),"
    " i AS (INSERT INTO destination AS d (key, due_at) SELECT key, due_at FROM w"
    " WHERE NOT EXISTS (SELECT 1 FROM destination t WHERE t.key = w.key) ORDER BY key"
    " ON CONFLICT (key) DO UPDATE SET due_at = greatest(d.paused_until, excluded.due_at)"
    " WHERE d.due_at IS NULL OR d.due_at > greatest(d.paused_until, excluded.due_at))"
)
_TOUCH = f"WITH w AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS w (key, due_at) ORDER BY 1), {LOWERED} SELECT 1"  # noqa: S608 -- constants
_WAITING = (
    "WITH w AS (SELECT k.key, (SELECT min(next_attempt_at) FROM queue WHERE destination = k.key"
    " AND state = 'queued' AND slot IS NULL) AS due_at FROM {keys}),"
    " u AS (UPDATE destination d SET due_at = greatest(d.paused_until, w.due_at) FROM w WHERE d.key = w.key"
    " AND w.due_at IS NOT NULL AND (d.due_at IS NULL OR d.due_at > greatest(d.paused_until, w.due_at))) SELECT 1"
)
_SET_BACK = 60_000  # milliseconds by which a clock may be set back, and a backlog be of later
_WAITS = "FROM queue WHERE destination = k.key AND state = 'queued' AND slot IS NULL ORDER BY next_attempt_at"
# With $2, the instant of a claim, it has a backlog if one was due behind the few that are none. By the server's clock at
# most: those of machines differ, and none must wait until its own shows what another's did.
_REFRESH = (
    f"UPDATE destination d SET due_at = (SELECT greatest(next_attempt_at, d.paused_until) {_WAITS} LIMIT 1), left_at ="  # noqa: S608 -- constants
    " coalesce((SELECT CASE WHEN $2::bigint IS NULL THEN d.left_at WHEN next_attempt_at <= $2"
    f" THEN least($2, {SERVER_CLOCK}) ELSE 0 END"
    f" {_WAITS} LIMIT 1 OFFSET {FEW_LEFT}), 0) FROM unnest($1::text[]) AS k (key) WHERE d.key = k.key"
)
# Those without a backlog, and the others, each in its order.
_PLACES = (
    "(SELECT false, due_at, key FROM destination WHERE left_at = 0 AND due_at <= $1 AND (due_at, key) > ($3, $4){among}"
    " ORDER BY due_at, key LIMIT $7) UNION ALL (SELECT true, greatest(due_at, left_at), key FROM destination"
    " WHERE left_at > 0 AND due_at <= $1 AND greatest(due_at, left_at) <= {latest} AND (greatest(due_at, left_at), key) > ($5, $6)"
    "{among} ORDER BY greatest(due_at, left_at), key LIMIT $7)"
)
_LATEST = f"greatest($2, {SERVER_CLOCK} + {_SET_BACK})"  # of a backlog that a claim finds
PLACES = _PLACES.format(latest=_LATEST, among="")
_PLACES_AMONG = _PLACES.format(latest=_LATEST, among=" AND key = ANY($8::text[])")
BRING_BACK = (
    "UPDATE destination SET left_at = $1 WHERE left_at > 0 AND due_at IS NOT NULL"  # noqa: S608 -- constants
    f" AND greatest(due_at, left_at) > {_LATEST} AND left_at > {_LATEST}"
)
# By the primary key, which the change leaves alone: what it moved, it does not meet again.
_MOVE_SOME = (
    "WITH part AS MATERIALIZED (SELECT message_id, number FROM queue WHERE (message_id, number) > ($4, $5)"
    " ORDER BY message_id, number LIMIT $6),"
    " u AS (UPDATE queue q SET next_attempt_at = greatest($1, q.next_attempt_at + $2) FROM part"
    " WHERE q.message_id = part.message_id AND q.number = part.number"
    " AND q.state = 'queued' AND q.slot IS NULL AND q.next_attempt_at > $3)"
    " SELECT message_id, number FROM part ORDER BY message_id DESC, number DESC LIMIT 1"
)
_MOVED_AT_ONCE = 5000  # recipients
# By the index alone: one step for each destination, however much waits there.
_ALL = (
    "(WITH RECURSIVE k AS ((SELECT destination FROM queue WHERE state = 'queued' AND slot IS NULL"
    " ORDER BY destination LIMIT 1) UNION ALL SELECT (SELECT q.destination FROM queue q WHERE q.state = 'queued'"
    " AND q.slot IS NULL AND q.destination > k.destination ORDER BY q.destination LIMIT 1) FROM k"
    " WHERE k.destination IS NOT NULL) SELECT destination AS key FROM k WHERE destination IS NOT NULL) AS k"
)
_PAGE = 500  # destinations read at once
_START: Head = (-1, "")

IsNext = Callable[[Head | None, Head | None], bool]
"""Whether the first one without a backlog is next, of both; as `relayd.policy.delivery.fairness` says."""


async def touch(db: Session, due: Mapping[str, int]) -> None:
    """Note that recipients of destinations become due at those instants."""
    if due:
        await db.fetch(_TOUCH, list(due), list(due.values()))
        touch_again(db, due)


def touch_again(db: Session, due: Mapping[str, int]) -> None:
    """Note the same once more behind the commit: all of a transaction by one statement."""
    is_first = not db.due_again
    for key, at in due.items():
        db.due_again[key] = min(at, db.due_again.get(key, at))
    if is_first and db.due_again:
        all_due = db.due_again

        async def again(db: Session) -> None:
            await db.fetch(_TOUCH, list(all_due), list(all_due.values()))

        db.afterwards.append(again)


async def refresh(db: Session, *destinations: str, claimed_at: int | None = None) -> None:
    """Set the due time of destinations anew from their recipients; after a claim, also whether that left a backlog."""
    await db.execute(_REFRESH, sorted(destinations), claimed_at)

    async def again(db: Session) -> None:
        await db.fetch(_WAITING.format(keys="unnest($1::text[]) AS k (key)"), sorted(destinations))

    db.afterwards.append(again)


async def recount(db: Session) -> None:
    """Lower the due time of all destinations to that of their recipients: a second look may be missing."""
    await db.fetch(_WAITING.format(keys=_ALL))


async def pause(db: Session, destination: str, until: int, *, why: str = "") -> None:
    """Let nobody claim from `destination` before `until`."""
    await db.execute(
        "INSERT INTO destination (key, paused_until, paused_for) VALUES ($1, $2, $3)"
        " ON CONFLICT (key) DO UPDATE"
        " SET paused_until = excluded.paused_until, paused_for = excluded.paused_for",
        destination,
        until,
        why,
    )
    await refresh(db, destination)


async def remark(db: Session, destination: str, why: str, *, now: int) -> None:
    """Say what is waited for at a destination that is in hand; a pause keeps its own words."""
    await db.execute(
        "INSERT INTO destination AS d (key, paused_for) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE"
        " SET paused_for = excluded.paused_for WHERE d.paused_until <= $3",
        destination,
        why,
        now,
    )


async def end_pauses(db: Session, *, now: int) -> None:
    """Let all destinations be looked at anew."""
    for (key,) in await db.fetch("SELECT key FROM destination WHERE paused_until > $1", now):
        await pause(db, key, 0)


async def move_waits(db: Session, *, now: int, jump: int) -> None:
    """Let all waits go on from where they were, after the wall clock jumped to `now` by `jump`.

    Some by each statement: none may take long, however many wait. One transaction, since nobody could tell the rest
    from what is written meanwhile.
    """
    ahead = min(now, now - jump)  # what was not due before it, or is not after it
    last: Row | None = (-1, -1)
    while last is not None:
        moved = await db.fetch(_MOVE_SOME, now, jump, ahead, *last, _MOVED_AT_ONCE)
        last = moved[0] if moved else None
    await db.execute(
        "UPDATE destination SET paused_until = greatest($1, paused_until + $2) WHERE paused_until > $3",
        now,
        jump,
        ahead,
    )
    await db.execute(
        "UPDATE pause_rule SET until = greatest($1, until + $2) WHERE until > $3", now, jump, ahead
    )
    await db.execute("UPDATE destination SET left_at = $1 WHERE left_at > $1", now)
    found = await db.fetch("SELECT key FROM destination WHERE due_at > $1 ORDER BY key", ahead)
    keys = [key for (key,) in found]
    for first in range(0, len(keys), _PAGE):
        await refresh(db, *keys[first : first + _PAGE])


async def bring_back(db: Session, *, now: int) -> None:
    """Let claims find the backlogs that are of later than they look: the server's clock was set back."""
    await db.execute(BRING_BACK, now, now + _SET_BACK)


async def paused_until(db: Session, destination: str) -> int:
    found = await db.value("SELECT paused_until FROM destination WHERE key = $1", destination)
    return int(found or 0)


async def waiting(
    db: Session, now: int, is_next: IsNext, *, only: Collection[str] | None = None
) -> AsyncIterator[tuple[str, int | None]]:
    """Yield destinations with due recipients, each once: of those without a backlog, and of the others, as `is_next` says.

    With each how many others without one were seen at first; None: it has one itself. By the page. A claim from one sets its time anew, and it may come up once more on a later page.
    """
    seen: set[str] = set()
    places: tuple[deque[Head], deque[Head]] = (deque(), deque())  # the second: with a backlog
    ends = [_START, _START]
    is_all, others = [False, False], None
    while True:
        if any(not places[kind] and not is_all[kind] for kind in (0, 1)):
            sql, among = (PLACES, ()) if only is None else (_PLACES_AMONG, (list(only),))
            page = await db.fetch(sql, now, now + _SET_BACK, *ends[0], *ends[1], _PAGE, *among)
            for kind in (0, 1):
                found = [
                    (since, key) for has_backlog, since, key in page if has_backlog is bool(kind)
                ]
                places[kind].extend(found)
                ends[kind] = found[-1] if found else ends[kind]
                is_all[kind] = len(found) < _PAGE
        one, other = (each[0] if each else None for each in places)
        if one is None and other is None:
            return
        others = len(places[0]) - 1 if others is None else others
        has_backlog = not is_next(one, other)
        _, key = places[has_backlog].popleft()
        if key not in seen:
            seen.add(key)
            yield key, None if has_backlog else others

"""Destinations inside one transaction: when each has something to do, and which are left alone.

Plain functions on a connection that is in a write transaction. Instants are milliseconds of the wall clock.

Invariant: `due_at` of a destination is never later than its first due recipient, or the end of its pause.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator

import apsw
import orjson

from relayd.policy.delivery.fairness import FEW_LEFT, Head
from relayd.store.sqlite.values import fetch

_LEASABLE = (
    "SELECT coalesce((SELECT paused_until FROM destination WHERE key = ?), 0),"
    " EXISTS (SELECT 1 FROM pause_rule)"
)
_PAGE = 500  # destinations read at once
_SET_BACK = 60_000  # milliseconds by which the clock may be set back without a word, and a backlog be of later
_WAITS = "FROM recipient WHERE destination = ?1 AND state = 'queued' AND slot IS NULL"
# With ?2, the instant of a claim, it has a backlog if one was due behind the few that are none.
_REFRESH = (
    f"UPDATE destination SET due_at = (SELECT max(min(next_attempt_at), paused_until) {_WAITS}), left_at ="  # noqa: S608 -- constants
    " coalesce((SELECT CASE WHEN ?2 IS NULL THEN left_at WHEN next_attempt_at <= ?2 THEN ?2 ELSE 0 END"
    f" {_WAITS} ORDER BY next_attempt_at LIMIT 1 OFFSET {FEW_LEFT}), 0) WHERE key = ?1"
)
_WITHOUT = (
    "SELECT due_at, key FROM destination WHERE left_at = 0 AND due_at <= ?1 AND due_at <= ?2"
    " AND (due_at, key) > (?3, ?4) ORDER BY due_at, key LIMIT ?5"
)
_BEHIND = (
    "SELECT max(due_at, left_at), key FROM destination WHERE left_at > 0 AND due_at <= ?1 AND max(due_at, left_at) <= ?2"
    " AND (max(due_at, left_at), key) > (?3, ?4) ORDER BY max(due_at, left_at), key LIMIT ?5"
)

IsNext = Callable[[Head | None, Head | None], bool]
"""Whether the first one without a backlog is next, of both; as `relayd.policy.delivery.fairness` says."""


def touch(db: apsw.Connection, destination: str, due_at: int) -> None:
    """Note that a recipient of `destination` becomes due at `due_at`."""
    db.execute(
        "INSERT INTO destination (key, due_at) VALUES (?, ?) ON CONFLICT (key) DO UPDATE"
        " SET due_at = max(paused_until, excluded.due_at)"
        " WHERE due_at IS NULL OR due_at > max(paused_until, excluded.due_at)",
        (destination, due_at),
    )


def refresh(db: apsw.Connection, destination: str, *, claimed_at: int | None = None) -> None:
    """Set a destination's due time anew from its recipients; after a claim, also whether that left a backlog."""
    db.execute(_REFRESH, (destination, claimed_at))


def pause(db: apsw.Connection, destination: str, until: int, *, why: str = "") -> None:
    """Let nobody claim from `destination` before `until`."""
    db.execute(
        "INSERT INTO destination (key, paused_until, paused_for) VALUES (?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE"
        " SET paused_until = excluded.paused_until, paused_for = excluded.paused_for",
        (destination, until, why),
    )
    refresh(db, destination)


def remark(db: apsw.Connection, destination: str, why: str, *, now: int) -> None:
    """Say what is waited for at a destination that is in hand; a pause keeps its own words."""
    db.execute(
        "INSERT INTO destination (key, paused_for) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE"
        " SET paused_for = ?2 WHERE paused_until <= ?3",
        (destination, why, now),
    )


def end_pauses(db: apsw.Connection, *, now: int) -> None:
    """Let all destinations be looked at anew."""
    for (destination,) in fetch(db, "SELECT key FROM destination WHERE paused_until > ?", (now,)):
        pause(db, destination, 0)


def move_waits(db: apsw.Connection, *, now: int, jump: int) -> None:
    """Let all waits go on from where they were, after the wall clock jumped to `now` by `jump`."""
    ahead = min(now, now - jump)  # what was not due before it, or is not after it
    db.execute(
        "UPDATE recipient SET next_attempt_at = max(?1, next_attempt_at + ?2)"
        " WHERE state = 'queued' AND slot IS NULL AND next_attempt_at > ?3",
        (now, jump, ahead),
    )
    db.execute(
        "UPDATE destination SET paused_until = max(?1, paused_until + ?2) WHERE paused_until > ?3",
        (now, jump, ahead),
    )
    db.execute(
        "UPDATE pause_rule SET until = max(?1, until + ?2) WHERE until > ?3", (now, jump, ahead)
    )
    db.execute("UPDATE destination SET left_at = ?1 WHERE left_at > ?1", (now,))
    for (destination,) in fetch(db, "SELECT key FROM destination WHERE due_at > ?", (ahead,)):
        refresh(db, destination)


def leasable(db: apsw.Connection, destination: str, now: int) -> tuple[bool, bool]:
    """Tell whether no pause of the destination holds it now, and whether there are pause rules."""
    until, has_rules = db.execute(_LEASABLE, (destination,)).get
    return until <= now, bool(has_rules)


def paused_until(db: apsw.Connection, destination: str) -> int:
    found = db.execute("SELECT paused_until FROM destination WHERE key = ?", (destination,)).get
    return int(found or 0)


def waiting(db: apsw.Connection, now: int, is_next: IsNext) -> Iterator[tuple[str, int | None]]:
    """Yield destinations with due recipients, each once: of those without a backlog, and of the others, as `is_next` says.

    With each how many others without one were seen at first; None: it has one itself.

    By the page: there may be a hundred thousand, and few are asked for. A claim from one sets its time anew, and it
    may come up once more on a later page.
    """
    return _in_turn(
        _by_page(db, _WITHOUT, (now, now)), _by_page(db, _BEHIND, (now, now + _SET_BACK)), is_next
    )


def waiting_of(
    db: apsw.Connection, keys: Collection[str], now: int, is_next: IsNext
) -> Iterator[tuple[str, int | None]]:
    """Yield those of some destinations that have due recipients, in the same order.

    Looked up one by one: beside them there may be a hundred thousand that nobody asks for.
    """
    found = fetch(
        db,
        "SELECT d.left_at > 0, max(d.due_at, d.left_at), d.key FROM json_each(?) AS wanted"
        " JOIN destination d ON d.key = wanted.value WHERE d.due_at <= ? ORDER BY 2, 3",
        (orjson.dumps(list(keys)).decode(), now),
    )
    return _in_turn(
        iter([[(since, key) for is_behind, since, key in found if not is_behind]]),
        iter([[(since, key) for is_behind, since, key in found if is_behind]]),
        is_next,
    )


def _by_page(db: apsw.Connection, sql: str, until: tuple[int, int]) -> Iterator[list[Head]]:
    last: Head = (-1, "")
    while page := fetch(db, sql, (*until, *last, _PAGE)):
        yield [(since, key) for since, key in page]
        last = page[-1][0], page[-1][1]


def _in_turn(
    without: Iterator[list[Head]], behind: Iterator[list[Head]], is_next: IsNext
) -> Iterator[tuple[str, int | None]]:
    seen: set[str] = set()
    one, other = deque(next(without, ())), deque(next(behind, ()))
    others = len(one) - 1
    while one or other:
        has_backlog = not is_next(one[0] if one else None, other[0] if other else None)
        line, pages = (other, behind) if has_backlog else (one, without)
        _, key = line.popleft()
        if not line:
            line.extend(next(pages, ()))
        if key not in seen:
            seen.add(key)
            yield key, None if has_backlog else others

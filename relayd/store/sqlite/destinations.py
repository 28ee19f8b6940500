"""Destinations inside one transaction: when each has something to do, and which are left alone.

Plain functions on a connection that is in a write transaction. Instants are milliseconds of the wall clock.

Invariant: `due_at` of a destination is never later than its first due recipient, or the end of its pause.
"""

from collections.abc import Collection, Iterator

import apsw
import orjson

from relayd.store.sqlite.values import fetch

_LEASABLE = (
    "SELECT coalesce((SELECT paused_until FROM destination WHERE key = ?), 0),"
    " EXISTS (SELECT 1 FROM pause_rule)"
)
_PAGE = 500  # destinations read at once


def touch(db: apsw.Connection, destination: str, due_at: int) -> None:
    """Note that a recipient of `destination` becomes due at `due_at`."""
    db.execute(
        "INSERT INTO destination (key, due_at) VALUES (?, ?) ON CONFLICT (key) DO UPDATE"
        " SET due_at = max(paused_until, excluded.due_at)"
        " WHERE due_at IS NULL OR due_at > max(paused_until, excluded.due_at)",
        (destination, due_at),
    )


def refresh(db: apsw.Connection, destination: str) -> None:
    """Set a destination's due time anew from its recipients."""
    db.execute(
        "UPDATE destination SET due_at = (SELECT max(min(next_attempt_at), paused_until)"
        " FROM recipient WHERE destination = key AND state = 'queued' AND slot IS NULL)"
        " WHERE key = ?",
        (destination,),
    )


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
    for (destination,) in fetch(db, "SELECT key FROM destination WHERE due_at > ?", (ahead,)):
        refresh(db, destination)


def leasable(db: apsw.Connection, destination: str, now: int) -> tuple[bool, bool]:
    """Tell whether no pause of the destination holds it now, and whether there are pause rules."""
    until, has_rules = db.execute(_LEASABLE, (destination,)).get
    return until <= now, bool(has_rules)


def paused_until(db: apsw.Connection, destination: str) -> int:
    found = db.execute("SELECT paused_until FROM destination WHERE key = ?", (destination,)).get
    return int(found or 0)


def waiting(db: apsw.Connection, now: int) -> Iterator[str]:
    """Yield destinations with due recipients, oldest first and each once.

    By the page: there may be a hundred thousand, and few are asked for. A claim from one sets
    its time anew, and it may come up once more on a later page.
    """
    seen: set[str] = set()
    last: tuple[int, str] = (-1, "")
    while page := fetch(
        db,
        "SELECT due_at, key FROM destination WHERE due_at <= ? AND (due_at, key) > (?, ?)"
        " ORDER BY due_at, key LIMIT ?",
        (now, *last, _PAGE),
    ):
        for _, destination in page:
            if destination not in seen:
                seen.add(destination)
                yield destination
        last = page[-1][0], page[-1][1]


def waiting_of(db: apsw.Connection, keys: Collection[str], now: int) -> Iterator[str]:
    """Yield those of some destinations that have due recipients, oldest first.

    Looked up one by one: beside them there may be a hundred thousand that nobody asks for.
    """
    found = fetch(
        db,
        "SELECT d.due_at, d.key FROM json_each(?) AS wanted"
        " JOIN destination d ON d.key = wanted.value WHERE d.due_at <= ? ORDER BY d.due_at, d.key",
        (orjson.dumps(list(keys)).decode(), now),
    )
    return (key for _, key in found)

"""Slots inside one transaction: who may deliver where, and until when.

Plain functions on a connection that is in a write transaction. Instants are milliseconds: `now` and
all others of the wall clock, those of a `Term` and `at` of the clock that leases end by.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apsw

from relayd.mail.outcome import RecipientState
from relayd.ports.queue import Lease
from relayd.store.sqlite import destinations
from relayd.store.sqlite.guard import may_become
from relayd.store.sqlite.values import fetch

_RENEWED_BY = 1000  # milliseconds: not with every message of a burst

_FREE = (
    "UPDATE recipient SET slot = NULL, next_attempt_at = ?,"
    " possible_duplicate = max(possible_duplicate, 1) WHERE slot = ? AND "
)
_FREE_UNCOUNTED = (
    "UPDATE recipient SET slot = NULL, next_attempt_at = ?, attempts = attempts - 1"
    " WHERE slot = ? AND "
)


@dataclass(frozen=True, slots=True)
class Term:
    """From when until when a lease is to hold, by the clock that leases end by."""

    at: int
    until: int


def acquire(
    db: apsw.Connection, destination: str, worker: int, *, width: int, now: int, term: Term
) -> Lease | None:
    """Take or keep a slot of `destination` for `worker`; None when all `width` slots have owners."""
    live = 0
    free: tuple[int, int | None, int] | None = None
    slots = fetch(
        db,
        "SELECT id, worker, epoch, lease_ends_at FROM slot WHERE destination = ? ORDER BY id",
        (destination,),
    )
    for slot, owner, epoch, lease_ends_at in slots:
        if owner == worker:
            if term.until >= lease_ends_at + _RENEWED_BY:
                db.execute("UPDATE slot SET lease_ends_at = ? WHERE id = ?", (term.until, slot))
            return Lease(destination, slot, epoch)
        if owner is not None and lease_ends_at > term.at:
            live += 1
        elif free is None:
            free = (slot, owner, epoch)
    if live >= width:
        return None
    if not live:
        db.execute(
            "UPDATE destination SET paused_for = '' WHERE key = ? AND paused_for <> ''",
            (destination,),
        )
    if free is None:
        db.execute(
            "INSERT INTO slot (destination, worker, epoch, lease_ends_at) VALUES (?, ?, 1, ?)",
            (destination, worker, term.until),
        )
        return Lease(destination, db.last_insert_rowid(), 1)
    slot, owner, epoch = free
    if owner is not None:
        abandon(db, slot, now=now)
    db.execute(
        "UPDATE slot SET worker = ?, epoch = ?, lease_ends_at = ? WHERE id = ?",
        (worker, epoch + 1, term.until, slot),
    )
    return Lease(destination, slot, epoch + 1)


def holds(db: apsw.Connection, lease: Lease) -> bool:
    """Tell whether the lease is still the present one of its slot."""
    row = db.execute(
        "SELECT 1 FROM slot WHERE id = ? AND epoch = ? AND worker IS NOT NULL",
        (lease.slot, lease.epoch),
    ).get
    return row is not None


def abandon(db: apsw.Connection, slot: int, *, now: int) -> int:
    """Free a slot whose owner is gone: its open attempts may have been sent (S-07)."""
    db.execute(_FREE + may_become(RecipientState.QUEUED), (now, slot))
    freed = db.changes()
    db.execute("UPDATE slot SET worker = NULL, epoch = epoch + 1 WHERE id = ?", (slot,))
    if freed:
        destinations.touch(db, _destination_of(db, slot), now)
    return freed


def abandon_ended(db: apsw.Connection, *, at: int, now: int) -> int:
    """Free all slots whose lease ended; return how many recipients that freed."""
    ended = fetch(db, "SELECT id FROM slot WHERE worker IS NOT NULL AND lease_ends_at <= ?", (at,))
    return sum(abandon(db, slot, now=now) for (slot,) in ended)


def abandon_ended_of(
    db: apsw.Connection, destination: str, worker: int, *, at: int, now: int
) -> None:
    """Free the slots of a destination whose lease ended, but that of `worker`."""
    ended = fetch(
        db,
        "SELECT id FROM slot WHERE destination = ? AND worker <> ? AND lease_ends_at <= ?",
        (destination, worker, at),
    )
    for (slot,) in ended:
        abandon(db, slot, now=now)


def extend(
    db: apsw.Connection, held: Sequence[Lease], *, worker: int, until: int
) -> Sequence[Lease]:
    """Renew leases of `worker`; return those that it lost."""
    lost = []
    for lease in held:
        db.execute(
            "UPDATE slot SET lease_ends_at = ? WHERE id = ? AND epoch = ? AND worker = ?",
            (until, lease.slot, lease.epoch, worker),
        )
        if not db.changes():
            lost.append(lease)
    return lost


def hand_back(db: apsw.Connection, slot: int, *, now: int) -> None:
    """Free a slot on its owner's word: what was leased under it was not tried."""
    db.execute(_FREE_UNCOUNTED + may_become(RecipientState.QUEUED), (now, slot))
    if db.changes():
        destinations.touch(db, _destination_of(db, slot), now)
    db.execute("UPDATE slot SET worker = NULL WHERE id = ?", (slot,))


def due(
    db: apsw.Connection,
    worker: int,
    *,
    widths: Mapping[str, int],
    now: int,
    at: int,
    is_next: destinations.IsNext,
    only: Collection[str] | None = None,
) -> Iterator[tuple[str, int | None]]:
    """Yield destinations with due recipients and a slot that `worker` has or may take, in the order of `destinations.waiting`.

    None but those in `only`, if given.
    """
    owned = fetch(
        db,
        "SELECT destination, count(*) FROM slot"
        " WHERE worker IS NOT NULL AND worker <> ? AND lease_ends_at > ? GROUP BY destination",
        (worker, at),
    )
    taken: dict[str, int] = dict(owned)
    waiting = (
        destinations.waiting(db, now, is_next)
        if only is None
        else destinations.waiting_of(db, only, now, is_next)
    )
    for destination, others in waiting:
        if taken.get(destination, 0) < widths.get(destination, 1):
            yield destination, others


def _destination_of(db: apsw.Connection, slot: int) -> str:
    return str(db.execute("SELECT destination FROM slot WHERE id = ?", (slot,)).get)

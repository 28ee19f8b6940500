"""Workers inside one transaction: who may be alive, whose part the next one has, and its number."""

from datetime import datetime

from relayd.mail.ids import (
    MessageId,
    Registration,
    WorkerIdentity,
    bits_of,
    first_id_at,
    next_number,
    received_at_of,
)
from relayd.store.moved import ARRIVING, LEAVING, check_served
from relayd.store.postgres import leases, meta
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import SERVER_CLOCK, Moment

_KEEPS_ITS_PART = 30_000  # milliseconds after it was seen: well before the others take it for gone
_AT = f"coalesce($1::bigint, {SERVER_CLOCK})"

_DEAD = "node = $3 AND (boot <> $1 OR name = $2)"
# Locked: somebody may just be taking one over.
_SLOTS_OF_DEAD = f"SELECT id FROM slot WHERE worker IN (SELECT number FROM worker WHERE {_DEAD}) ORDER BY id FOR UPDATE"  # noqa: S608 -- constants
_SHARES_OF_DEAD = f"DELETE FROM share WHERE worker IN (SELECT number FROM worker WHERE {_DEAD})"  # noqa: S608 -- constants
_SEAT = (
    f"SELECT counted_since FROM worker WHERE node = $2 AND name = $3 AND seen_at > {_AT} - {_KEEPS_ITS_PART}"  # noqa: S608 -- constants
    " ORDER BY seen_at DESC LIMIT 1"
)
_LAST = "last_worker"


async def is_first(db: Session, worker: WorkerIdentity) -> bool:
    """Tell whether no other worker of its boot was here before."""
    return not await db.value("SELECT count(*) FROM worker WHERE boot = $1", worker.boot)


async def seat(db: Session, worker: WorkerIdentity, *, moment: Moment) -> int | None:
    """Return since when all others count the one that `worker` comes after; None if they need not.

    That one had the same name on the same machine, and was seen a moment ago.
    """
    since: int | None = await db.value(_SEAT, moment.lease_at, worker.node, worker.name)
    return since


async def remove_dead(db: Session, worker: WorkerIdentity, *, now: int) -> None:
    """Forget the workers of its machine that `worker` comes after, and free what they had leased."""
    dead = (worker.boot, worker.name, worker.node)
    for (slot,) in await db.fetch(_SLOTS_OF_DEAD, *dead):
        await leases.abandon(db, slot, now=now)
    await db.execute(_SHARES_OF_DEAD, *dead)
    await db.execute(f"DELETE FROM worker WHERE {_DEAD}", *dead)  # noqa: S608 -- constants


async def leave(db: Session, worker: int) -> None:
    """Note that a worker ended in good order. The others count it for some time: who starts again at once has its part."""
    await db.execute("UPDATE worker SET has_left = true WHERE number = $1", worker)


async def add(
    db: Session,
    worker: WorkerIdentity,
    *,
    at: datetime,
    moment: Moment,
    counted_since: int | None = None,
) -> Registration:
    """Give `worker` its number. Raises StoreUnavailable when too many are alive, StoreMoved for a queue of no relayd."""
    await db.execute("LOCK TABLE worker IN SHARE ROW EXCLUSIVE MODE")
    check_served(await meta.value(db, LEAVING), await meta.value(db, ARRIVING))
    living = [number for (number,) in await db.fetch("SELECT number FROM worker")]
    number = next_number(await meta.number(db, _LAST, 0), living)
    await meta.write_number(db, _LAST, number)
    await db.execute(
        "INSERT INTO worker (number, node, boot, name, seen_at, counted_since)"  # noqa: S608 -- constants
        f" VALUES ($2, $3, $4, $5, {_AT}, $6)",
        moment.lease_at,
        number,
        worker.node,
        worker.boot,
        worker.name,
        counted_since,
    )
    first = first_id_at(at)
    # Usually there is none: ids of the future are those from before the clock was set back.
    latest = await db.value(
        "SELECT id FROM message WHERE id >= $1 AND id >> 12 & 511 = $2 ORDER BY id DESC LIMIT 1",
        first,
        bits_of(number),
    )
    return Registration(number=number, ids_after=received_at_of(MessageId(latest or first)))

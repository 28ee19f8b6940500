"""Workers inside one transaction: who may be alive, and the number of the next one."""

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

_DEAD = "node = $3 AND (boot <> $1 OR name = $2)"
# Locked: somebody may just be taking one over.
_SLOTS_OF_DEAD = f"SELECT id FROM slot WHERE worker IN (SELECT number FROM worker WHERE {_DEAD}) ORDER BY id FOR UPDATE"  # noqa: S608 -- constants
_SHARES_OF_DEAD = f"DELETE FROM share WHERE worker IN (SELECT number FROM worker WHERE {_DEAD})"  # noqa: S608 -- constants
_LAST = "last_worker"


async def is_first(db: Session, worker: WorkerIdentity) -> bool:
    """Tell whether no other worker of its boot was here before."""
    return not await db.value("SELECT count(*) FROM worker WHERE boot = $1", worker.boot)


async def remove_dead(db: Session, worker: WorkerIdentity, *, now: int) -> None:
    """Forget the workers of its machine that `worker` comes after, and free what they had leased."""
    dead = (worker.boot, worker.name, worker.node)
    for (slot,) in await db.fetch(_SLOTS_OF_DEAD, *dead):
        await leases.abandon(db, slot, now=now)
    await db.execute(_SHARES_OF_DEAD, *dead)
    await db.execute(f"DELETE FROM worker WHERE {_DEAD}", *dead)  # noqa: S608 -- constants


async def add(db: Session, worker: WorkerIdentity, *, at: datetime, moment: Moment) -> Registration:
    """Give `worker` its number. Raises StoreUnavailable when too many are alive, StoreMoved for a queue of no relayd."""
    await db.execute("LOCK TABLE worker IN SHARE ROW EXCLUSIVE MODE")
    check_served(await meta.value(db, LEAVING), await meta.value(db, ARRIVING))
    living = [number for (number,) in await db.fetch("SELECT number FROM worker")]
    number = next_number(await meta.number(db, _LAST, 0), living)
    await meta.write_number(db, _LAST, number)
    await db.execute(
        "INSERT INTO worker (number, node, boot, name, seen_at)"  # noqa: S608 -- constants
        f" VALUES ($2, $3, $4, $5, coalesce($1::bigint, {SERVER_CLOCK}))",
        moment.lease_at,
        number,
        worker.node,
        worker.boot,
        worker.name,
    )
    first = first_id_at(at)
    # Usually there is none: ids of the future are those from before the clock was set back.
    latest = await db.value(
        "SELECT id FROM message WHERE id >= $1 AND id >> 12 & 511 = $2 ORDER BY id DESC LIMIT 1",
        first,
        bits_of(number),
    )
    return Registration(number=number, ids_after=received_at_of(MessageId(latest or first)))

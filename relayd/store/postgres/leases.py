"""Slots inside one transaction: who may deliver where, and until when.

Leases end by the server's clock. Nobody takes one over just after the store was away, or its clock was set forward:
its owner could not renew it. A row of `queue` carries slot and epoch, so what is leased under an older
epoch is seen at the row. Who frees a slot writes the slot first: that waits for those who put mail under it.
"""

from collections.abc import Sequence

from relayd.errors import StoreBroken
from relayd.mail.outcome import RecipientState
from relayd.ports.queue import Lease
from relayd.store.postgres import destinations
from relayd.store.postgres.guard import may_become
from relayd.store.postgres.line import Session
from relayd.store.postgres.members import Seen
from relayd.store.postgres.moment import SERVER_CLOCK, Moment

_RENEWED_BY = 1000  # milliseconds: not with every message of a burst
_AT = f"coalesce($1::bigint, {SERVER_CLOCK})"

# Who has one locks that alone: others put mail under theirs, and would wait for the whole transaction. By the index of
# destinations, hence the sum: a worker may have thousands of slots.
_SLOTS = (
    f"WITH own AS (SELECT id, worker, epoch, lease_ends_at, number, {_AT} FROM slot"  # noqa: S608 -- constants
    " WHERE destination = $2 AND worker + 0 = $3 ORDER BY number LIMIT 1 FOR UPDATE),"
    f" every AS (SELECT id, worker, epoch, lease_ends_at, number, {_AT} FROM slot"
    " WHERE destination = $2 AND NOT EXISTS (SELECT 1 FROM own) ORDER BY number FOR UPDATE)"
    " SELECT * FROM own UNION ALL SELECT * FROM every"
)
_HOLDS = "SELECT 1 FROM slot WHERE id = $1 AND epoch = $2 AND worker IS NOT NULL"
_HOLDS_LOCKED = f"{_HOLDS} FOR UPDATE"
_ADD = (
    f"INSERT INTO slot (destination, number, worker, epoch, lease_ends_at)"  # noqa: S608 -- constants
    f" VALUES ($2, $3, $4, 1, {_AT} + $5) ON CONFLICT DO NOTHING RETURNING id"
)
_FREE = (
    "UPDATE queue SET slot = NULL, epoch = NULL, next_attempt_at = $1,"
    " possible_duplicate = greatest(possible_duplicate, 1) WHERE slot = $2 AND {allowed} RETURNING destination"
)
_FREE_UNCOUNTED = (
    "UPDATE queue SET slot = NULL, epoch = NULL, next_attempt_at = $1, attempts = attempts - 1"
    " WHERE slot = $2 AND {allowed} RETURNING destination"
)

# What is leased under no present epoch: nobody has it, and no claim would find it.
_FREE_LOST = (
    "UPDATE queue q SET slot = NULL, epoch = NULL, next_attempt_at = $1,"
    " possible_duplicate = greatest(possible_duplicate, 1) WHERE q.slot > 0 AND {allowed} AND NOT EXISTS"
    " (SELECT 1 FROM slot s WHERE s.id = q.slot AND s.epoch = q.epoch AND s.worker IS NOT NULL) RETURNING destination"
)

_RENEW = (
    f"UPDATE slot SET lease_ends_at = {_AT} + $2 FROM unnest($3::bigint[], $4::bigint[]) AS h (id, epoch)"  # noqa: S608 -- constants
    " WHERE slot.id = h.id AND slot.epoch = h.epoch AND slot.worker = $5 RETURNING slot.id"
)
# Its machine lives as well. What it was before is not to be had from RETURNING alone.
_ALIVE = (
    f"WITH n AS (UPDATE node SET seen_at = {_AT} FROM worker w"  # noqa: S608 -- constants
    " WHERE w.number = $2 AND node.name = w.node AND node.boot = w.boot)"
    f" UPDATE worker SET seen_at = {_AT}"
    " FROM (SELECT seen_at FROM worker WHERE number = $2 FOR UPDATE) AS was WHERE number = $2"
    " RETURNING was.seen_at, worker.seen_at"
)


async def acquire(
    db: Session, destination: str, worker: int, *, width: int, at: Moment, lease_for: int
) -> Lease | None:
    """Take or keep a slot of `destination` for `worker`; None when all `width` slots have owners."""
    live = 0
    free: tuple[int, int | None, int] | None = None
    numbers = set()
    for slot, owner, epoch, ends_at, number, now in await db.fetch(
        _SLOTS, at.lease_at, destination, worker
    ):
        numbers.add(number)
        if owner == worker:
            if now + lease_for >= ends_at + _RENEWED_BY:
                await db.execute(
                    "UPDATE slot SET lease_ends_at = $2 WHERE id = $1", slot, now + lease_for
                )
            return Lease(destination, slot, epoch)
        was_set = at.server_by is not None and now > at.server_by
        if owner is not None and (ends_at > now or was_set or not at.may_take_over):
            live += 1
        elif free is None:
            free = (slot, owner, epoch)
    if live >= width:
        return None
    if not live:
        await db.execute(
            "UPDATE destination SET paused_for = '' WHERE key = $1 AND paused_for <> ''",
            destination,
        )
    if free is None:
        number = next(each for each in range(width) if each not in numbers)
        added = await db.value(_ADD, at.lease_at, destination, number, worker, lease_for)
        return None if added is None else Lease(destination, added, 1)
    slot, owner, epoch = free
    if owner is not None:
        await abandon(db, slot, now=at.now)
    await db.execute(
        f"UPDATE slot SET worker = $3, epoch = $4, lease_ends_at = {_AT} + $5 WHERE id = $2",  # noqa: S608 -- constants
        at.lease_at,
        slot,
        worker,
        epoch + 1,
        lease_for,
    )
    return Lease(destination, slot, epoch + 1)


async def holds(db: Session, lease: Lease, *, locked: bool = False) -> bool:
    """Tell whether the lease is still the present one of its slot; `locked`: nobody frees it in this transaction."""
    row = await db.value(
        _HOLDS_LOCKED if locked else _HOLDS,
        lease.slot,
        lease.epoch,
    )
    return row is not None


async def abandon(db: Session, slot: int, *, now: int) -> int:
    """Free a slot whose owner is gone: its open attempts may have been sent (S-07)."""
    await db.execute("UPDATE slot SET worker = NULL, epoch = epoch + 1 WHERE id = $1", slot)
    freed = await db.fetch(_with_guard(_FREE), now, slot)
    await destinations.touch(db, {destination: now for (destination,) in freed})
    return len(freed)


async def abandon_ended(db: Session, *, at: Moment) -> int:
    """Free all slots whose lease ended, and what is leased to nobody; return how many recipients that freed."""
    ended = await db.fetch(
        f"SELECT id FROM slot WHERE worker IS NOT NULL AND lease_ends_at <= {_AT}"  # noqa: S608 -- constants
        " ORDER BY id FOR UPDATE SKIP LOCKED",
        at.lease_at,
    )
    if not at.may_take_over:
        ended = []
    freed = sum([await abandon(db, slot, now=at.now) for (slot,) in ended])
    lost = await db.fetch(_with_guard(_FREE_LOST), at.now)
    await destinations.touch(db, {destination: at.now for (destination,) in lost})
    if ended or lost:
        await destinations.recount(db)
    return freed + len(lost)


async def abandon_ended_of(db: Session, destination: str, worker: int, *, at: Moment) -> None:
    """Free the slots of a destination that `worker` may take: none, where it has one."""
    if not at.may_take_over:
        return
    for slot, owner, _, ends_at, _, now in await db.fetch(_SLOTS, at.lease_at, destination, worker):
        was_set = at.server_by is not None and now > at.server_by
        if owner not in (None, worker) and ends_at <= now and not was_set:
            await abandon(db, slot, now=at.now)


async def extend(
    db: Session, held: Sequence[Lease], *, worker: int, at: Moment, lease_for: int
) -> tuple[Sequence[Lease], Seen]:
    """Renew leases of `worker`, and say that it lives; return those that it lost, and when it was seen.

    Raises StoreBroken for a worker that was away for so long that it was forgotten: its number may be another's.
    """
    slots, epochs = [lease.slot for lease in held], [lease.epoch for lease in held]
    given = at.lease_at, lease_for, slots, epochs, worker
    kept = await db.fetch(_RENEW, *given) if held else ()
    seen = await db.fetch(_ALIVE, at.lease_at, worker)
    if not seen:
        raise StoreBroken(
            f"worker {worker} was away for so long that the others forgot it: it has to start again"
        )
    renewed = {slot for (slot,) in kept}
    return [lease for lease in held if lease.slot not in renewed], Seen(*seen[0])


async def hand_back(db: Session, slot: int, *, now: int) -> None:
    """Free a slot on its owner's word: what was leased under it was not tried."""
    await db.execute("UPDATE slot SET worker = NULL WHERE id = $1", slot)
    freed = await db.fetch(_with_guard(_FREE_UNCOUNTED), now, slot)
    await destinations.touch(db, {destination: now for (destination,) in freed})


async def taken(db: Session, worker: int, *, at: Moment) -> dict[str, int]:
    """Return how many slots of each destination other workers have."""
    owned = await db.fetch(
        f"SELECT destination, count(*) FROM slot WHERE worker <> $2 AND lease_ends_at > {_AT}"  # noqa: S608 -- constants
        " GROUP BY destination",
        at.lease_at,
        worker,
    )
    return dict(owned)


def _with_guard(sql: str) -> str:
    return sql.format(allowed=may_become(RecipientState.QUEUED))

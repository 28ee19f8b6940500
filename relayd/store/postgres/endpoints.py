"""The endpoints of webhooks inside one transaction, and what each of them is told."""

from datetime import datetime

from relayd.answers.webhooks import told_of, told_of_change
from relayd.policy.console.webhook import Off, enabled
from relayd.ports.outbox import Action, EndpointId, Subscription, SubscriptionChange
from relayd.ports.people import Author, Deed
from relayd.store import outbox_rows
from relayd.store.outbox_rows import STANDING, array, standing_of
from relayd.store.postgres.deliveries import HOLD, keep_standing
from relayd.store.postgres.line import Session
from relayd.store.postgres.people_writes import note
from relayd.store.values import to_ms

_AT_ONCE = 5000  # deliveries deleted in one transaction
_SWEEP = (
    "DELETE FROM delivery WHERE endpoint = $1 AND event IN"
    " (SELECT event FROM delivery WHERE endpoint = $1 ORDER BY event LIMIT $2)"
)


async def put(
    db: Session,
    wanted: Subscription,
    endpoint: EndpointId | None,
    *,
    author: Author,
    now: datetime,
) -> EndpointId | None:
    """Add an endpoint, or change one; None if there is none with that number."""
    before = None if endpoint is None else await held(db, endpoint)
    said = (wanted.url, array(wanted.kinds), array(wanted.senders), array(wanted.tags))
    if endpoint is None:
        added = await db.value(
            "INSERT INTO endpoint (url, kinds, senders, tags, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id",
            *said,
            to_ms(now),
        )
        endpoint = EndpointId(added)
    elif before is None:
        return None
    else:
        await db.execute(
            "UPDATE endpoint SET url = $2, kinds = $3, senders = $4, tags = $5 WHERE id = $1",
            endpoint,
            *said,
        )
    await _switch(db, endpoint, is_on=wanted.is_on)
    await db.execute("DELETE FROM subscription WHERE endpoint = $1", endpoint)
    filters = (
        array(wanted.senders) if wanted.senders else None,
        array(wanted.tags) if wanted.tags else None,
    )
    await db.many(
        "INSERT INTO subscription (kind, endpoint, senders, tags) VALUES ($1, $2, $3, $4)",
        [(kind.value, endpoint, *filters) for kind in dict.fromkeys(wanted.kinds)],
    )
    if before is None:
        await note(db, Deed(Action.ADDED, str(endpoint), told_of(wanted)), author, now)
    elif told := told_of_change(before, wanted):
        await note(db, Deed(Action.CHANGED, str(endpoint), told), author, now)
    return endpoint


async def change(
    db: Session,
    endpoint: EndpointId,
    wanted: SubscriptionChange,
    *,
    author: Author,
    now: datetime,
) -> bool:
    """Change what is named of an endpoint; False if there is none with that number."""
    before = await held(db, endpoint)
    if before is not None:
        await put(db, wanted.of(before), endpoint, author=author, now=now)
    return before is not None


async def held(db: Session, endpoint: EndpointId) -> Subscription | None:
    """Return what an endpoint is told, which nobody else changes in this transaction; None if there is none."""
    await db.fetch(HOLD, [endpoint])
    rows = await db.fetch(
        "SELECT url, kinds, senders, tags, off FROM endpoint WHERE id = $1 AND NOT dropped",
        endpoint,
    )
    return outbox_rows.subscription_of(rows[0]) if rows else None


async def _switch(db: Session, endpoint: EndpointId, *, is_on: bool) -> None:
    [row] = await db.fetch(f"SELECT {STANDING} FROM endpoint e WHERE e.id = $1", endpoint)  # noqa: S608 -- constants
    standing = standing_of(row)
    if is_on and standing.off:
        await keep_standing(db, endpoint, enabled(standing))
    elif not is_on and not standing.off:
        await db.execute("UPDATE endpoint SET off = $2 WHERE id = $1", endpoint, Off.BY_HAND.value)


async def drop(db: Session, endpoint: EndpointId, *, author: Author, now: datetime) -> bool:
    """Tell an endpoint nothing any more, and show it to nobody; False if there is none. `sweep` does the rest."""
    before = await held(db, endpoint)
    if before is None:
        return False
    await db.execute("UPDATE endpoint SET dropped = true WHERE id = $1", endpoint)
    await db.execute("DELETE FROM subscription WHERE endpoint = $1", endpoint)
    await note(db, Deed(Action.REMOVED, str(endpoint), told_of(before)), author, now)
    return True


async def sweep(db: Session) -> bool:
    """Delete some of what endpoints leave behind that were dropped; False when nothing is left.

    Their own rows stay: what was recorded at the same time may still tell them something, and is found by those.
    """
    for (endpoint,) in await db.fetch("SELECT id FROM endpoint WHERE dropped ORDER BY id"):
        if await db.execute(_SWEEP, endpoint, _AT_ONCE):
            return True
    return False


async def rotate(
    db: Session, endpoint: EndpointId, *, served: int, author: Author, now: datetime
) -> int | None:
    """Begin a new generation of secrets, and return it; None if there is no such endpoint."""
    found = await db.value(
        "UPDATE endpoint SET generation = generation + 1, rotated_at = $2 WHERE id = $1 AND NOT dropped"
        " RETURNING generation",
        endpoint,
        served,
    )
    if found is None:
        return None
    await note(db, Deed(Action.ROTATED, str(endpoint)), author, now)
    return int(found)


async def add_test(
    db: Session, endpoint: EndpointId, *, author: Author, now: datetime
) -> int | None:
    """Add a test, and return its number; None if there is no such endpoint."""
    if await held(db, endpoint) is None:
        return None
    lowest = await db.value("SELECT min(event) FROM delivery WHERE endpoint = $1", endpoint)
    number = min(lowest or 0, 0) - 1
    await db.execute(
        "INSERT INTO delivery (endpoint, event, message_id, recipient, at, state)"
        " VALUES ($1, $2, 0, 0, $3, 'waiting')",
        endpoint,
        number,
        to_ms(now),
    )
    await note(db, Deed(Action.TESTED, str(endpoint)), author, now)
    return number

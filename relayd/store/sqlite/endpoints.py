"""The endpoints of webhooks inside one transaction, and what each of them is told."""

from datetime import datetime

import apsw

from relayd.answers.webhooks import told_of, told_of_change
from relayd.policy.console.webhook import Off, enabled
from relayd.ports.outbox import Action, EndpointId, Subscription, SubscriptionChange
from relayd.ports.people import Author, Deed
from relayd.store import outbox_rows
from relayd.store.outbox_rows import STANDING, standing_of
from relayd.store.sqlite.deliveries import keep_standing
from relayd.store.sqlite.people_writes import note
from relayd.store.sqlite.values import fetch, to_ms

_AT_ONCE = 5000  # deliveries deleted in one transaction


def put(
    db: apsw.Connection,
    wanted: Subscription,
    endpoint: EndpointId | None,
    *,
    author: Author,
    now: datetime,
) -> EndpointId | None:
    """Add an endpoint, or change one; None if there is none with that number."""
    before = None if endpoint is None else subscription_of(db, endpoint)
    said = (
        wanted.url,
        outbox_rows.array(wanted.kinds),
        outbox_rows.array(wanted.senders),
        outbox_rows.array(wanted.tags),
    )
    if endpoint is None:
        db.execute(
            "INSERT INTO endpoint (url, kinds, senders, tags, created_at) VALUES (?, ?, ?, ?, ?)",
            (*said, to_ms(now)),
        )
        endpoint = EndpointId(db.last_insert_rowid())
    elif before is None:
        return None
    else:
        db.execute(
            "UPDATE endpoint SET url = ?, kinds = ?, senders = ?, tags = ? WHERE id = ?",
            (*said, endpoint),
        )
    _switch(db, endpoint, is_on=wanted.is_on)
    db.execute("DELETE FROM subscription WHERE endpoint = ?", (endpoint,))
    filters = (
        outbox_rows.array(wanted.senders) if wanted.senders else None,
        outbox_rows.array(wanted.tags) if wanted.tags else None,
    )
    db.executemany(
        "INSERT INTO subscription (kind, endpoint, senders, tags) VALUES (?, ?, ?, ?)",
        [(kind, endpoint, *filters) for kind in dict.fromkeys(wanted.kinds)],
    )
    if before is None:
        note(db, Deed(Action.ADDED, str(endpoint), told_of(wanted)), author, now)
    elif told := told_of_change(before, wanted):
        note(db, Deed(Action.CHANGED, str(endpoint), told), author, now)
    return endpoint


def change(
    db: apsw.Connection,
    endpoint: EndpointId,
    wanted: SubscriptionChange,
    *,
    author: Author,
    now: datetime,
) -> bool:
    """Change what is named of an endpoint; False if there is none with that number."""
    before = subscription_of(db, endpoint)
    if before is not None:
        put(db, wanted.of(before), endpoint, author=author, now=now)
    return before is not None


def subscription_of(db: apsw.Connection, endpoint: int) -> Subscription | None:
    """Return what an endpoint is told; None if there is none with that number."""
    rows = fetch(
        db,
        "SELECT url, kinds, senders, tags, off FROM endpoint WHERE id = ? AND NOT dropped",
        (endpoint,),
    )
    return outbox_rows.subscription_of(rows[0]) if rows else None


def _switch(db: apsw.Connection, endpoint: EndpointId, *, is_on: bool) -> None:
    row = fetch(db, f"SELECT {STANDING} FROM endpoint e WHERE e.id = ?", (endpoint,))[0]  # noqa: S608 -- constants
    standing = standing_of(row)
    if is_on and standing.off:
        keep_standing(db, endpoint, enabled(standing))
    elif not is_on and not standing.off:
        db.execute("UPDATE endpoint SET off = ? WHERE id = ?", (Off.BY_HAND, endpoint))


def drop(db: apsw.Connection, endpoint: EndpointId, *, author: Author, now: datetime) -> bool:
    """Tell an endpoint nothing any more, and show it to nobody; False if there is none. `sweep` does the rest."""
    before = subscription_of(db, endpoint)
    if before is None:
        return False
    db.execute("UPDATE endpoint SET dropped = 1 WHERE id = ?", (endpoint,))
    db.execute("DELETE FROM subscription WHERE endpoint = ?", (endpoint,))
    note(db, Deed(Action.REMOVED, str(endpoint), told_of(before)), author, now)
    return True


def sweep(db: apsw.Connection) -> bool:
    """Delete some of what endpoints leave behind that were dropped; False when nothing is left."""
    dropped = fetch(db, "SELECT id FROM endpoint WHERE dropped LIMIT 1")
    if not dropped:
        return False
    [(endpoint,)] = dropped
    db.execute(
        "DELETE FROM delivery WHERE endpoint = ?1 AND event IN"
        " (SELECT event FROM delivery WHERE endpoint = ?1 LIMIT ?2)",
        (endpoint, _AT_ONCE),
    )
    if db.changes() < _AT_ONCE:
        db.execute("DELETE FROM endpoint WHERE id = ?", (endpoint,))
    return True


def rotate(
    db: apsw.Connection, endpoint: EndpointId, *, served: int, author: Author, now: datetime
) -> int | None:
    """Begin a new generation of secrets, and return it; None if there is no such endpoint."""
    found = db.execute(
        "UPDATE endpoint SET generation = generation + 1, rotated_at = ? WHERE id = ? AND NOT dropped"
        " RETURNING generation",
        (served, endpoint),
    ).get
    if found is None:
        return None
    note(db, Deed(Action.ROTATED, str(endpoint)), author, now)
    return int(found)


def add_test(
    db: apsw.Connection, endpoint: EndpointId, *, author: Author, now: datetime
) -> int | None:
    """Add a test, and return its number; None if there is no such endpoint."""
    if subscription_of(db, endpoint) is None:
        return None
    lowest = db.execute("SELECT min(event) FROM delivery WHERE endpoint = ?", (endpoint,)).get
    number = min(lowest or 0, 0) - 1
    db.execute(
        "INSERT INTO delivery (endpoint, event, message_id, recipient, at, state)"
        " VALUES (?, ?, 0, 0, ?, 'waiting')",
        (endpoint, number, to_ms(now)),
    )
    note(db, Deed(Action.TESTED, str(endpoint)), author, now)
    return number

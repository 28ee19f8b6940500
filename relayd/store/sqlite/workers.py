"""Workers inside one transaction: who may be alive, and the number of the next one.

Plain functions on a connection that is in a write transaction. One daemon at a time has the file, so
a worker of another boot is dead, whatever its node is called by now.
"""

from datetime import datetime

import apsw

from relayd.mail.ids import (
    MessageId,
    Registration,
    WorkerIdentity,
    bits_of,
    first_id_at,
    next_number,
    received_at_of,
)
from relayd.store import moved
from relayd.store.sqlite import leases
from relayd.store.sqlite.values import fetch

_DEAD = "boot <> ? OR name = ?"


def check_served(db: apsw.Connection) -> None:
    """Raise StoreMoved for a queue that no relayd may serve: it is copied to another store, or was."""
    sql = "SELECT value FROM meta WHERE key = ?"
    moved.check_served(*(db.execute(sql, (key,)).get for key in (moved.LEAVING, moved.ARRIVING)))


def is_first(db: apsw.Connection, worker: WorkerIdentity) -> bool:
    """Tell whether no other worker of its boot was here before."""
    return not db.execute("SELECT count(*) FROM worker WHERE boot = ?", (worker.boot,)).get


def remove_dead(db: apsw.Connection, worker: WorkerIdentity, *, now: int) -> None:
    """Forget the workers that `worker` comes after, and free what they had leased."""
    dead = (worker.boot, worker.name)
    owned = f"SELECT id FROM slot WHERE worker IN (SELECT number FROM worker WHERE {_DEAD})"  # noqa: S608 -- fixed text
    for (slot,) in fetch(db, owned, dead):
        leases.abandon(db, slot, now=now)
    shares = f"DELETE FROM share WHERE worker IN (SELECT number FROM worker WHERE {_DEAD})"  # noqa: S608 -- fixed text
    db.execute(shares, dead)
    db.execute(f"DELETE FROM worker WHERE {_DEAD}", dead)  # noqa: S608 -- fixed text


def add(db: apsw.Connection, worker: WorkerIdentity, *, at: datetime) -> Registration:
    """Give `worker` its number. Raises StoreUnavailable when too many are alive."""
    living = [number for (number,) in fetch(db, "SELECT number FROM worker", ())]
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'worker'").get
    number = next_number(last or 0, living)
    db.execute(
        "INSERT INTO worker (number, node, boot, name) VALUES (?, ?, ?, ?)",
        (number, worker.node, worker.boot, worker.name),
    )
    first = first_id_at(at)
    # Usually there is none: ids of the future are those from before the clock was set back.
    latest = db.execute(
        "SELECT id FROM message WHERE id >= ? AND id >> 12 & 511 = ? ORDER BY id DESC LIMIT 1",
        (first, bits_of(number)),
    ).get
    return Registration(number=number, ids_after=received_at_of(MessageId(latest or first)))

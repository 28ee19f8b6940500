"""Machines inside one transaction: which have the queue, and how many workers they have that are alive."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import relayd
from relayd.errors import StoreUnavailable
from relayd.mail.ids import WorkerIdentity
from relayd.ports.membership import Cluster, Node, Others
from relayd.store.postgres import schema
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import SERVER_CLOCK, Moment
from relayd.store.values import from_ms

ALIVE_FOR = 60_000  # milliseconds after it was seen: the time of a lease
_FORGOTTEN_AFTER = (
    3_600_000  # milliseconds: a worker that slept for less finds its number still its own
)
_MACHINE = Path("/etc/machine-id")
_ALL_KEYS = ""
_AT = f"coalesce($1::bigint, {SERVER_CLOCK})"

_TAKEN = f"SELECT machine, {_AT} - seen_at FROM node WHERE name = $2 AND machine <> $3 AND boot <> $4 FOR UPDATE"  # noqa: S608 -- constants
_ENTER = (
    "INSERT INTO node (name, boot, machine, version, schema_from, schema_to, settings, keys, seen_at)"  # noqa: S608 -- constants
    f" VALUES ($2, $3, $4, $5, $6, $7, $8, $9, {_AT}) ON CONFLICT (name) DO UPDATE SET boot = excluded.boot,"
    " machine = excluded.machine, version = excluded.version, schema_from = excluded.schema_from,"
    " schema_to = excluded.schema_to, settings = excluded.settings, keys = excluded.keys, seen_at = excluded.seen_at"
)
_OTHERS = (
    "SELECT count(*), count(*) FILTER (WHERE node < $1), coalesce(bool_and(has_left OR seen_at >= $2), true) FROM worker"  # noqa: S608 -- constants
    f" WHERE node <> $1 AND seen_at > $3::bigint - {ALIVE_FOR}"
)
_COUNTED = (
    "UPDATE worker SET counted_since = $4 WHERE node = $1 AND boot = $2 AND name = $3"
    " AND counted_since IS DISTINCT FROM $4"
)
_OLDER = (
    "SELECT name, version FROM node WHERE schema_to < $2"  # noqa: S608 -- constants
    f" AND seen_at > {_AT} - {ALIVE_FOR} ORDER BY name"
)
_ALL = (
    f"SELECT name, version, settings, seen_at, seen_at > {SERVER_CLOCK} - {ALIVE_FOR},"  # noqa: S608 -- constants
    f" (SELECT count(*) FROM worker w WHERE w.node = node.name AND w.seen_at > {SERVER_CLOCK} - {ALIVE_FOR}), keys"
    " FROM node ORDER BY name"
)


def machine() -> str:
    """Return what tells this machine from others; empty where the system has no such thing."""
    try:
        return _MACHINE.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def written(mark: str) -> str:
    """Return a relayd of this machine as a row of `node` has it; `mark` is that of its folder of state."""
    return f"{machine()} {mark}".rstrip()


def _what(row: str) -> str:
    """Return what has the name, for people."""
    name = row.partition(" ")[0]
    if name and name == machine():
        return "relayd on this machine"
    return f"machine ({name})" if name else "machine"


async def enter(db: Session, worker: WorkerIdentity, *, cluster: Cluster, at: Moment) -> None:
    """Note that the machine of a worker is there. Raises StoreUnavailable while another one has its name.

    That one is gone when nobody has seen it for the time of a lease.
    """
    here = written(cluster.mark)
    for other, ago in await db.fetch(_TAKEN, at.lease_at, worker.node, here, worker.boot):
        if ago < ALIVE_FOR:
            raise StoreUnavailable(
                f"another {_what(other)} is called {worker.node} as well, seen {max(ago, 0) // 1000} s ago:"
                " give each a name of its own with cluster.node"
            )
    await db.execute(
        _ENTER,
        at.lease_at,
        worker.node,
        worker.boot,
        here,
        relayd.__version__,
        schema.oldest(),
        schema.newest(),
        cluster.settings,
        json.dumps({_ALL_KEYS: cluster.settings, **cluster.keys}),
    )


async def older(db: Session, number: int, *, lease_at: int | None) -> Sequence[str]:
    """Return the machines that are alive with a relayd that does not know that step of the schema, and its version."""
    found = await db.fetch(_OLDER, lease_at, number)
    return [f"{name} (relayd {version})" for name, version in found]


async def others(
    db: Session, worker: WorkerIdentity, *, since: int | None, alive_at: int
) -> Others:
    """Return how many workers of other machines lived at an instant, and whether each was seen `since` another one.

    Who was seen has counted the worker, if that was there for all to see by then; None: it was not yet. Who left
    need not count it: it has nothing open.
    """
    [(number, before, know)] = await db.fetch(_OTHERS, worker.node, since, alive_at)
    return Others(number, before, know if since is not None else not number)


async def counted(db: Session, worker: WorkerIdentity, *, since: int | None) -> None:
    """Note since when all others count the worker; None: it has no part of the limits."""
    await db.execute(_COUNTED, worker.node, worker.boot, worker.name, since)


async def forget(db: Session, *, at: Moment) -> None:
    """Delete workers that nobody has seen for long."""
    await db.execute(
        f"DELETE FROM worker WHERE seen_at < {_AT} - {_FORGOTTEN_AFTER}",  # noqa: S608 -- constants
        at.lease_at,
    )


async def clock(db: Session, *, at: Moment) -> int:
    """Return the instant by the clock that leases end by."""
    return int(await db.value(f"SELECT {_AT}", at.lease_at))


async def all_of(db: Session) -> Sequence[Node]:
    """Return every machine that ever had the queue."""
    return [
        Node(
            name,
            version,
            settings,
            from_ms(seen_at),
            workers if is_alive else 0,
            _keys(keys, settings),
        )
        for name, version, settings, seen_at, is_alive, workers, keys in await db.fetch(_ALL)
    ]


def _keys(written: str, settings: str) -> Mapping[str, str]:
    """Return the keys that the digest is made of; none where an older relayd has written it."""
    keys: dict[str, str] = json.loads(written or "{}")
    return keys if keys.pop(_ALL_KEYS, None) == settings else {}

"""Applying the steps of the schema while mail flows, and older relays work with the database.

Each step is a transaction. It waits for a lock for 2 seconds at most, since all others wait behind it, and is tried
again. One process at a time applies steps, under an advisory lock that who registers shares: so no older relayd comes
between the look for one and a step that it could not work with. Nobody waits for that lock. An index that is
made without locks has a lock of its own: it waits for all who have a snapshot, and older relays start meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from functools import partial
from typing import Protocol, TypeVar

from relayd.errors import StoreUnavailable
from relayd.ports.schema import Migrated, SchemaStep, StepKind
from relayd.store.postgres import nodes, schema
from relayd.store.postgres.line import Operation, Session

T = TypeVar("T")
Upgrading = Callable[[int, int], None]

_LOCK = 0x72656C61  # "rela"
_INDEX_LOCK = _LOCK + 1
_TRIES = 20
_LOCKED_FOR = 2000  # milliseconds
_BETWEEN = 0.5  # seconds between two tries
_ALONE = "SELECT pg_try_advisory_xact_lock($1)"
_SHARED = "SELECT pg_try_advisory_xact_lock_shared($1)"
_NOTE = "INSERT INTO schema_step (number, name, kind) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1::text)"
_BUSY = "another relayd is just bringing the database up to date"


class Runs(Protocol):
    """Runs an operation, as `Line.submit` does."""

    def __call__(self, operation: Operation[T], /, *, is_one: bool = False) -> Awaitable[T]: ...


class _Tried(Enum):
    DONE = auto()
    THERE = auto()  # somebody else was faster
    HELD = auto()  # back, by an older relayd
    BUSY = auto()  # somebody else is at it
    LOCKED = auto()  # somebody has the tables


async def bring_up(
    run: Runs,
    upgrading: Upgrading | None = None,
    *,
    contracts: bool = True,
    lease_at: Callable[[], int | None] = lambda: None,
) -> Migrated:
    """Apply the steps that may be applied, and tell which.

    Without `contracts` those wait that this relayd can do without; but an empty database gets all. `upgrading` is told of
    each step ahead of it, and which is the last, but where the database was empty. `lease_at`: `Moment.lease_at`.

    Raises SchemaMismatch for the database of a newer relayd, StoreUnavailable where a step cannot be applied now.
    """
    there = await run(schema.applied)
    schema.check(there)
    done = list[SchemaStep]()
    for step in schema.missing(there):
        if there and step.kind is StepKind.CONTRACT and not contracts:
            continue
        if there and upgrading is not None:
            upgrading(step.number, schema.newest())
        if await _apply(run, step, lease_at) is _Tried.DONE:
            done.append(SchemaStep(step.name, step.kind))
    if len(done) == len(schema.missing(there)):
        return Migrated(done)
    all_steps = await run(partial(told, lease_at=lease_at()))
    return Migrated(done, [step for step in all_steps if step.applied_at is None])


async def enter(db: Session) -> None:
    """Keep steps away until this transaction ends. Raises StoreUnavailable while one is applied."""
    if not await db.value(_SHARED, _LOCK):
        raise StoreUnavailable(_BUSY)


async def told(db: Session, *, lease_at: int | None = None) -> Sequence[SchemaStep]:
    """Return all steps that the database has or this relayd knows, and what those that wait are held back by."""
    there = await schema.applied(db)
    known = {step.number: step for step in schema.steps()}
    found = list[SchemaStep]()
    for number in sorted(there.keys() | known.keys()):
        if number in there:
            name, kind, at = there[number]
            found.append(SchemaStep(name, kind, at, is_known=number in known))
        else:
            step = known[number]
            held_by = await _held_by(db, step, lease_at) if there else ()
            found.append(SchemaStep(step.name, step.kind, None, held_by))
    return found


async def _held_by(db: Session, step: schema.Step, lease_at: int | None) -> Sequence[str]:
    if step.kind is StepKind.EXPAND:
        return ()
    return await nodes.older(db, step.number, lease_at=lease_at)


async def _apply(run: Runs, step: schema.Step, lease_at: Callable[[], int | None]) -> _Tried:
    """Raises StoreUnavailable."""
    is_index = step.index is not None
    tried = _Tried.BUSY
    for number in range(_TRIES):
        if number:
            await asyncio.sleep(_BETWEEN)
        try:
            tried = await run(
                partial(_make_index if is_index else _run, step=step, lease_at=lease_at()),
                is_one=is_index,
            )
        except StoreUnavailable as error:
            if getattr(error.__cause__, "sqlstate", None) == "42501":  # insufficient_privilege
                raise StoreUnavailable(
                    f"step {step.name} of the schema is missing, and the role of store.url may not apply it:"
                    " run relayd store migrate with settings that name the owner of the tables"
                ) from error
            raise
        if tried not in (_Tried.BUSY, _Tried.LOCKED):
            return tried
    if tried is _Tried.BUSY:
        raise StoreUnavailable(_BUSY)
    raise StoreUnavailable(
        f"step {step.name} of the schema waits for a table that somebody has all the time: see pg_locks"
    )


async def _run(db: Session, *, step: schema.Step, lease_at: int | None) -> _Tried:
    if not await db.value(_ALONE, _LOCK):
        return _Tried.BUSY
    there = await schema.applied(db)
    if step.number in there:
        return _Tried.THERE
    if there and await _held_by(db, step, lease_at):
        return _Tried.HELD

    async def operation() -> bool:
        if not there:
            await db.script(schema.TABLE)
        await db.script(step.script)
        await db.execute(_NOTE, step.number, step.name, step.kind.value)
        return True

    return _Tried.DONE if await db.unless_locked(operation, within=_LOCKED_FOR) else _Tried.LOCKED


async def _make_index(db: Session, *, step: schema.Step, lease_at: int | None) -> _Tried:  # noqa: ARG001 -- as `_run`
    """Make an index that nobody waits for. It is no transaction: one that was cut short is there, and of no use."""
    if not await db.value("SELECT pg_try_advisory_lock($1)", _INDEX_LOCK):
        return _Tried.BUSY
    try:
        if step.number in await schema.applied(db):
            return _Tried.THERE
        await db.execute("SET lock_timeout = 0")  # nobody waits behind what it waits for
        is_valid = await db.value(_IS_VALID, step.index)
        if is_valid is False:
            await db.script(f"DROP INDEX CONCURRENTLY {step.index}")
        if not is_valid:
            await db.script(step.script)
        await db.execute(_NOTE, step.number, step.name, step.kind.value)
        return _Tried.DONE
    finally:
        await db.execute("RESET lock_timeout")
        await db.value("SELECT pg_advisory_unlock($1)", _INDEX_LOCK)

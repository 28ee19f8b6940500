"""A database that is shut to workers, while it is copied or is to be the copy, and after it went away."""

from relayd.store.postgres.line import Session

NAME = "relayd/copy"
"""Of the sessions that copy, as the server knows them."""

WENT, COMES = "went_to_another_store", "copy_is_not_complete"
"""Constraints: of a queue that went away, and of a copy that is not complete."""

_LETS_IN = {WENT: "false", COMES: f"current_setting('application_name') = '{NAME}'"}
_IS_SHUT = "SELECT 1 FROM pg_constraint WHERE conname = $1 AND conrelid = to_regclass('queue')"


async def shut(db: Session, why: str) -> None:
    """Have the server refuse what workers write that are not alive, but may be: of a machine that slept.

    Such a worker finds its leases lost, can take no other one, and queue nothing.
    """
    if await db.value(_IS_SHUT, why):
        return  # a second time it would wait for who reads the tables
    await db.execute("DELETE FROM worker")
    await db.execute("UPDATE slot SET worker = NULL, epoch = epoch + 1 WHERE worker IS NOT NULL")
    for name in ("queue", "slot"):
        await db.script(
            f"ALTER TABLE {name} ADD CONSTRAINT {why} CHECK ({_LETS_IN[why]}) NOT VALID"
        )


async def open_again(db: Session, why: str) -> None:
    """Let workers write again."""
    for name in ("queue", "slot"):
        await db.script(f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {why}")

"""When nobody knows whether a commit happened: the answer is looked for on another connection (S-55).

Absent is not enough: the server may still work for the connection that was lost, or wait for a standby, and its rows
appear later. So that is final once that backend has gone, which is looked at first. It is told to go, since a server
may take hours to notice that nobody listens. What is there may not be on a standby yet, and what is then done again may
have nothing left to write. All of it is durable once another commit of the same server was, since that is later in its log.
"""

import asyncio
from typing import Protocol, TypeVar

from relayd.errors import CommitUnknown, StoreFull, StoreUnavailable
from relayd.store.postgres.session import Operation, Session

T = TypeVar("T")
Backend = tuple[int, str]
"""A server's process, and when it began."""

_GIVEN_UP_AFTER = 300.0  # seconds
_LOOKS_EACH = 1.0  # seconds
_IS_THERE = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2"
# It writes to the log: the commit of one that only has a number waits for neither disk nor standby.
_COMMIT = "SELECT pg_logical_emit_message(true, 'relayd', '')::text"


class Runs(Protocol):
    """Runs an operation that only looks, on a connection that works. Raises StoreUnavailable, StoreFull, Unknown."""

    async def __call__(self, operation: Operation[T], /) -> T: ...


class Unknown(Exception):
    """The connection was lost in a commit."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        super().__init__()


class ConnectionLost(Exception):
    """The connection was lost before a commit: nothing was written."""


async def resolve(
    look: Runs,
    backend: Backend,
    happened: Operation[T | None] | None,
    *,
    within: float = _GIVEN_UP_AFTER,
) -> T | None:
    """Return what the operation gave, or None if it did not happen. Raises CommitUnknown.

    Without `happened` nobody asks what it gave: None means that it is over, and may be done again.
    """
    loop = asyncio.get_running_loop()
    gives_up_at = loop.time() + within
    lost: list[Backend] = []  # of looks, whose commits may wait as well: connections are few

    async def find(db: Session) -> tuple[T | None, bool]:
        for each in lost:
            await db.fetch(_END, *each)
        is_there = await db.value(_IS_THERE, *backend) is not None
        result = None if happened is None else await happened(db)
        if result is None and is_there:
            await db.fetch(_END, *backend)
        else:
            await db.value(_COMMIT)
        return result, is_there

    while True:
        try:
            result, is_there = await look(find)
        except (StoreUnavailable, StoreFull):  # that is of the look alone
            pass
        except Unknown as exc:
            lost.append(exc.backend)
        else:
            if result is not None or not is_there:
                return result
        if loop.time() >= gives_up_at:
            raise CommitUnknown("the connection to the store was lost during a commit")
        await asyncio.sleep(_LOOKS_EACH)

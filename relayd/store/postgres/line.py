"""A line: one connection that carries one kind of operation, each in its own transaction.

A task owns the connection, and nobody cancels that task: the library would cancel at the server, and the
caller would not know what became of the commit. Who submits an operation gets a future. What comes while
the line is busy waits.

Only this module knows the library and its errors.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import asyncpg

from relayd.errors import CommitUnknown, StoreFull, StoreUnavailable, TookTooLong
from relayd.store.postgres.address import arguments
from relayd.store.postgres.reach import Reach

T = TypeVar("T")
Row = tuple[Any, ...]

_TRIES = 5  # of an operation that met another one: deadlock, serialization

WRITES: Mapping[str, str] = {
    "synchronous_commit": "on",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    # The statistics of a queue are wrong most of the time, and only index loops are ever right here.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",  # what is off counts as very dear, and very dear statements would be compiled
    "plan_cache_mode": "force_generic_plan",
}
"""Settings of a session that writes."""

_READ_ONLY = "default_transaction_read_only"
READS: Mapping[str, str] = {_READ_ONLY: "on", "jit": "off"}
"""Settings of a session that only asks."""


class Session:
    """A connection inside one transaction, as operations see it. Parameters are $1, $2 and so on."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self.events = 0  # recorded in this transaction: `relayd.store.postgres.events`

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Return the rows, as the SQL has them."""
        return [tuple(row) for row in await self._connection.fetch(sql, *args)]

    async def value(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row; None without one."""
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> int:
        """Return how many rows were written."""
        told = await self._connection.execute(sql, *args)
        last = told.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    async def many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run a statement for each row of parameters."""
        await self._connection.executemany(sql, list(rows))

    async def listen(self, channel: str, heard: Callable[..., None]) -> None:
        """From this transaction's end, have `heard` called with what comes on a channel; the last argument is the text.

        For as long as the connection lasts. Again on the same one, it changes nothing.
        """
        await self._connection.add_listener(channel, heard)

    async def script(self, sql: str) -> None:
        """Run several statements, without parameters."""
        await self._connection.execute(sql)


Operation = Callable[[Session], Awaitable[T]]


class _Waiting(NamedTuple):
    operation: Operation[Any]
    done: "asyncio.Future[Any]"


class Line:
    """One connection, made when first needed, and made again when it was lost."""

    def __init__(
        self,
        url: str,
        name: str,
        settings: Mapping[str, str],
        *,
        first: Operation[None] | None = None,
        reach: Reach | None = None,
    ) -> None:
        """`name` is what the server's own lists show. `first` is run at the beginning of each transaction.

        `reach` is told whether the server could be reached.
        """
        self._reach = Reach() if reach is None else reach
        self._url = url
        self._settings = {**settings, "application_name": name}
        self._first = first
        self._waiting: deque[_Waiting] = deque()
        self._connection: asyncpg.Connection[Any] | None = None
        self._task: asyncio.Task[None] | None = None

    def submit(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Run the operation in one transaction, behind what was submitted before.

        The future is done when it is durable. It raises StoreUnavailable or StoreFull when nothing was written,
        CommitUnknown when nobody knows, and what the operation raises, which writes nothing.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Waiting(operation, done))
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._work())
        return done

    async def close(self) -> None:
        """Finish what was begun, then let go of the connection."""
        if self._task is not None:
            await self._task
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _work(self) -> None:
        while self._waiting:
            operation, done = self._waiting.popleft()
            try:
                result = await self._carry_out(operation)
            except Exception as exc:  # noqa: BLE001 -- whatever it is, the one who asked is told
                _tell(done, exc)
            else:
                if not done.done():
                    done.set_result(result)

    async def _carry_out(self, operation: Operation[T]) -> T:
        for _ in range(_TRIES - 1):
            try:
                return await self._run(operation)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                continue
            except _ERRORS as exc:
                raise translate(exc) from exc
        try:
            return await self._run(operation)
        except _ERRORS as exc:
            raise translate(exc) from exc

    async def _run(self, operation: Operation[T]) -> T:
        connection = await self._connected()
        transaction = connection.transaction()
        await transaction.start()
        try:
            session = Session(connection)
            if self._first is not None:
                await self._first(session)
            result = await operation(session)
        except BaseException:
            if not connection.is_closed():
                await transaction.rollback()
            raise
        try:
            await transaction.commit()
        except _LOST as exc:
            raise CommitUnknown("the connection to the store was lost during a commit") from exc
        return result

    async def _connected(self) -> "asyncpg.Connection[Any]":
        if self._connection is None or self._connection.is_closed():
            writes = _READ_ONLY not in self._settings
            try:
                self._connection = await asyncpg.connect(
                    **arguments(self._url, writes=writes),
                    server_settings=dict(self._settings),
                    timeout=10,
                )
            except _ERRORS as exc:
                self._reach.missed(str(translate(exc)))
                raise
            self._reach.found()
        return self._connection


async def ask_once(url: str, operation: Operation[T]) -> T:
    """Run one operation on a connection of its own. Raises what `Line.submit` does."""
    line = Line(url, "relayd", WRITES)
    try:
        return await line.submit(operation)
    finally:
        await line.close()


def translate(exc: Exception) -> StoreUnavailable | StoreFull:
    """Name an error of the library in the words of `relayd.errors`."""
    if isinstance(exc, asyncpg.DiskFullError):
        return StoreFull("no room left on the disk of the database")
    if isinstance(exc, asyncpg.QueryCanceledError):
        return TookTooLong("the question took longer than it may: a narrower one is faster")
    words = str(exc).partition("\n")[0] or type(exc).__name__
    return StoreUnavailable(f"the database cannot be used: {words}")


_LOST = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError)
_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


def _tell(done: "asyncio.Future[Any]", exc: Exception) -> None:
    if not done.done():
        done.set_exception(exc)

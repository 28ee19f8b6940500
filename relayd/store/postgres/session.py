"""A connection as operations see it: statements, and the transaction that they are in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]

SILENT = 15.0
"""Seconds without an answer to a statement; after that it is looked into, unless it may take longer."""

ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
"""As the first statement of a transaction: all others of it see the same instant."""

_NO_LOCK = (
    "55P03"  # lock_not_available: https://www.postgresql.org/docs/current/errcodes-appendix.html
)

Operation = Callable[["Session"], Awaitable[T]]


class Session:
    """A connection, as an operation sees it. Parameters are $1, $2 and so on."""

    def __init__(self, connection: Any, *, silent: float | None = None) -> None:
        """`silent`: seconds that an answer may take; None: `SILENT`."""
        self._connection = connection
        self._silent = silent
        self._transaction: Any = None
        self.afterwards: list[Operation[None]] = []  # run by the line behind the commit
        self.due_again: dict[str, int] = {}  # for `relayd.store.postgres.destinations`, behind it
        self.took = 0.0  # seconds: the last statement, which is the commit or has it in itself
        self.events = 0  # recorded in this transaction: `relayd.store.postgres.events`

    async def begin(self) -> None:
        """Begin a transaction, if none is begun; without one, each statement is its own."""
        if self._transaction is None:
            self._transaction = self._connection.transaction()
            await self._answer(self._transaction.start())

    @property
    def is_begun(self) -> bool:
        return self._transaction is not None

    async def number(self) -> int:
        """Return the number of the transaction."""
        return int(await self.value("SELECT pg_current_xact_id()::text"))

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Return the rows, as the SQL has them."""
        return [tuple(row) for row in await self._answer(self._connection.fetch(sql, *args))]

    async def value(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row; None without one."""
        return await self._answer(self._connection.fetchval(sql, *args))

    async def execute(self, sql: str, *args: Any) -> int:
        """Return how many rows were written."""
        told = await self._answer(self._connection.execute(sql, *args))
        last = told.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    async def many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run a statement for each row of parameters."""
        await self._answer(self._connection.executemany(sql, list(rows)))

    async def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Add many rows to a table, each with these columns. Source: PostgreSQL manual, COPY."""
        coming = self._connection.copy_records_to_table(table, records=rows, columns=columns)
        await self._answer(coming)

    async def unless_locked(
        self, operation: Callable[[], Awaitable[T]], *, within: int
    ) -> T | None:
        """Run a part of the transaction; None, and it is undone, when a lock is not had within so many milliseconds."""
        await self.execute("SAVEPOINT part")
        before = await self.value("SHOW lock_timeout")
        await self.execute(f"SET LOCAL lock_timeout = {int(within)}")
        try:
            done = await operation()
        except Exception as exc:
            if getattr(exc, "sqlstate", None) != _NO_LOCK:
                raise
            await self.execute("ROLLBACK TO SAVEPOINT part")  # the setting goes back as well
            return None
        await self.execute(f"SET LOCAL lock_timeout = '{before}'")
        return done

    async def listen(self, channel: str, heard: Callable[..., None]) -> None:
        """From this transaction's end, have `heard` called with what comes on a channel; the last argument is the text.

        For as long as the connection lasts. Again on the same one, it changes nothing.
        """
        await self._connection.add_listener(channel, heard)

    async def script(self, sql: str) -> None:
        """Run several statements, without parameters, however long they take."""
        await self._connection.execute(sql)

    async def end(self) -> None:
        """Commit."""
        if self._transaction is not None:
            await self._answer(self._transaction.commit())

    async def undo(self) -> None:
        """Roll back."""
        if self._transaction is not None and not self._connection.is_closed():
            await self._answer(self._transaction.rollback())

    async def _answer(self, coming: Awaitable[T]) -> T:
        """Wait for an answer. A connection without one for long is given up: who asked finds it lost."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        silent = SILENT if self._silent is None else self._silent
        limit = loop.call_later(silent, self._connection.terminate)
        try:
            return await coming
        finally:
            limit.cancel()
            self.took = loop.time() - begun

"""A line: one connection that carries one kind of operation, each in its own transaction.

A task owns the connection, and nobody cancels that task: the library would cancel at the server, and the
caller would not know what became of the commit. Who submits an operation gets a future. What comes while
the line is busy waits.

What the library and its errors mean is told by `library`.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from relayd.errors import CommitUnknown, StoreError, StoreUnavailable
from relayd.store.postgres import library
from relayd.store.postgres.library import MET, translate
from relayd.store.postgres.reach import Reach
from relayd.store.postgres.session import SILENT, Operation, Row, Session
from relayd.store.postgres.unknown import Backend, ConnectionLost, Unknown, resolve

__all__ = ["READS", "WRITES", "Line", "Operation", "Row", "Session", "ask_once"]

T = TypeVar("T")

_LOST = "the connection to the store was lost"
_IN_COMMIT = f"{_LOST} during a commit"
_TRIES = 5  # of an operation that met another one: deadlock, serialization
_WAITS, _WAITS_AT_MOST = 0.1, 5.0  # seconds between two tries to connect
_BACKEND = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"

# A server that lost its client without a word notices, and ends what it has of it.
_NOTICES: Mapping[str, str] = {
    "tcp_keepalives_idle": "10",  # seconds
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",  # milliseconds
}
WRITES: Mapping[str, str] = {
    **_NOTICES,
    "synchronous_commit": "on",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    # The statistics of a queue are wrong most of the time, and only index loops are ever right here.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",  # what is off counts as very dear, and very dear statements would be compiled
    "plan_cache_mode": "force_generic_plan",
    "max_parallel_workers_per_gather": "0",  # to start others takes longer than what they would help with
}
"""Settings of a session that writes."""

_READ_ONLY = "default_transaction_read_only"
READS: Mapping[str, str] = {**_NOTICES, _READ_ONLY: "on", "jit": "off"}
"""Settings of a session that only asks."""


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    operation: Operation[T]
    done: "asyncio.Future[T]"
    is_one: bool
    happened: Operation[T | None] | None
    again: bool
    unheard: Operation[None] | None


class Line:
    """One connection, made when first needed, and made again when it was lost."""

    def __init__(
        self,
        url: str,
        name: str,
        settings: Mapping[str, str],
        *,
        first: Operation[None] | None = None,
        greet: Operation[None] | None = None,
        reach: Reach | None = None,
        on_commit: Callable[[float], None] | None = None,
        on_lost_look: Callable[[], None] | None = None,
    ) -> None:
        """`name` is what the server's own lists show.

        `first` is run ahead of each operation, `greet` on each new connection. `reach` is told
        whether the server could be reached, `on_commit` how many seconds each commit took, `on_lost_look` that what
        follows a commit (`Session.afterwards`) was not done.
        """
        self._url = url
        self._settings = {**settings, "application_name": name}
        self._writes = _READ_ONLY not in settings
        self._reach = Reach() if reach is None else reach
        self._on_commit = on_commit
        self._on_lost_look = on_lost_look
        self._first = first
        self._greet = greet
        self._silent = _silence(settings)
        self._waiting: deque[_Job[Any]] = deque()
        self._connection: library.Connection | None = None
        self.connections = 0  # that were made so far
        self._backend: Backend = (0, "")
        self._owed: list[tuple[Backend, Operation[None]]] = []  # to be run once a commit is over
        self._warned = False  # by the server, since the last statement began
        self._task: asyncio.Task[None] | None = None
        self._pause, self._next_try, self._why = 0.0, 0.0, ""

    @property
    def is_connected(self) -> bool:
        """Tell whether the latest connection is there."""
        return self._connection is not None and not self._connection.is_closed()

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting) or (self._task is not None and not self._task.done())

    def submit(
        self,
        operation: Operation[T],
        *,
        is_one: bool = False,
        happened: Operation[T | None] | None = None,
        again: bool = True,
        unheard: Operation[None] | None = None,
    ) -> "asyncio.Future[T]":
        """Run the operation in one transaction, behind what was submitted before.

        `is_one`: it is one statement, or begins the transaction itself. The future is done when it is durable. It
        raises StoreUnavailable or StoreFull when nothing was written, CommitUnknown when nobody knows, and what the
        operation raises, which writes nothing.

        Where a connection was lost in a commit, `happened` finds out on another one: what the operation gave, or
        None. What did not happen is done `again`, or else StoreUnavailable. What cannot be found out and must not be
        done again is CommitUnknown; `unheard` is then run as soon as it is over, since nobody knows what it gave.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(operation, done, is_one, happened, again, unheard))
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._work())
        return done

    def make_up(self) -> None:
        """Look soon at what was given up, though nobody submits anything."""
        if self._owed and not self.is_busy:
            self.submit(_nothing, is_one=True).add_done_callback(_is_seen)

    async def close(self) -> None:
        """Finish what was begun, then let go of the connection."""
        while self._task is not None and self.is_busy:  # a batch that failed begins others
            await self._task
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _work(self) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            try:
                result = await self._carry_out(job)
            except Exception as exc:  # noqa: BLE001 -- whatever it is, the one who asked is told
                if not job.done.done():
                    job.done.set_exception(exc)
            else:
                if not job.done.done():
                    job.done.set_result(result)
                await self._make_up()

    async def _make_up(self) -> None:
        """Look once more at what was given up, now that the server answers."""
        owed, self._owed = self._owed, []
        for backend, operation in owed:
            try:
                await resolve(self.look, backend, operation, within=0)
            except StoreError:
                self._owed.append((backend, operation))

    async def _carry_out(self, job: _Job[T]) -> T:
        for is_last in (*[False] * (_TRIES - 1), True):
            try:
                return await self._run(job.operation, is_one=job.is_one)
            except MET as exc:
                if is_last:
                    raise translate(exc) from exc
            except Unknown as exc:
                result = await self._resolve(job, exc.backend)
                if result is not None:
                    return result
                if is_last or not job.again:
                    raise _gave_up(job) from exc
            except ConnectionLost as exc:
                if is_last:
                    raise StoreUnavailable(str(exc)) from exc
        raise AssertionError

    async def _resolve(self, job: _Job[T], backend: Backend) -> T | None:
        try:
            return await resolve(self.look, backend, job.happened)
        except CommitUnknown:
            if job.unheard is not None:
                self._owed.append((backend, job.unheard))
            raise

    async def look(self, operation: Operation[T]) -> T:
        """Run an operation that only looks. Raises StoreUnavailable, and Unknown when its connection was lost."""
        try:
            return await self._run(operation, is_one=True)
        except ConnectionLost as exc:
            raise StoreUnavailable(str(exc)) from exc
        except MET as exc:
            raise translate(exc) from exc

    async def _run(self, operation: Operation[T], *, is_one: bool) -> T:
        connection = await self._connected()
        session = Session(connection, silent=self._silent)
        self._warned, is_committing = False, False
        try:
            if self._first is not None:
                await self._first(session)
            if not is_one:
                await session.begin()
            result = await operation(session)
            is_committing = True
            await session.end()
        except Exception as exc:
            is_known = session.is_begun and not is_committing
            failed = await self._failed(exc, session, is_known=is_known)
            if isinstance(failed, Unknown):  # it does no harm where nothing was committed
                self._follow(session)
            raise failed from exc
        self._committed(session)
        self._reach.found()  # another line may have missed it a moment ago
        return result

    async def _failed(self, exc: Exception, session: Session, *, is_known: bool) -> Exception:
        """Return what to raise for an error; `is_known`: nothing can have been committed."""
        if library.is_lost(exc, self._connection):
            self._drop()
            is_known = is_known or not self._writes
            return ConnectionLost(_LOST) if is_known else Unknown(self._backend)
        try:
            await session.undo()
        except library.ERRORS:
            self._drop()
        if library.is_read_only(exc):
            self._drop()
        is_ours = isinstance(exc, library.ERRORS) and not isinstance(exc, MET)
        return translate(exc) if is_ours else exc

    def _committed(self, session: Session) -> None:
        """See to what follows a commit. Raises Unknown when it is not what it was to be: it waited for no standby."""
        self._follow(session)
        if self._warned:
            self._drop()
            raise Unknown(self._backend)
        if self._on_commit is not None:
            self._on_commit(session.took)

    def _follow(self, session: Session) -> None:
        if session.afterwards:
            behind = self.submit(partial(_all, session.afterwards), is_one=True)
            behind.add_done_callback(self._pass_over)

    def _pass_over(self, done: "asyncio.Future[None]") -> None:
        """Nobody waits for it."""
        if done.exception() is not None and self._on_lost_look is not None:
            self._on_lost_look()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _connected(self) -> library.Connection:
        if self._connection is not None and self.is_connected:
            return self._connection
        loop = asyncio.get_running_loop()
        if loop.time() < self._next_try:
            raise StoreUnavailable(self._why)
        try:
            connection = await library.connect(
                self._url,
                self._settings,
                writes=self._writes,
                greet=self._meet,
                warned=self._take_warning,
            )
        except StoreUnavailable as exc:
            self._why = str(exc)
            self._reach.missed(self._why)
            self._pause = min(max(self._pause * 2, _WAITS), _WAITS_AT_MOST)
            self._next_try = loop.time() + self._pause * secrets.randbelow(1000) / 1000
            raise
        self._reach.found()
        self._pause, self._connection = 0.0, connection
        self.connections += 1
        return connection

    async def _meet(self, session: Session) -> None:
        [(pid, began)] = await session.fetch(_BACKEND)
        self._backend = (pid, began)
        if self._greet is not None:
            await self._greet(session)

    def _take_warning(self) -> None:
        self._warned = True


def _gave_up(job: _Job[Any]) -> StoreUnavailable | CommitUnknown:
    return CommitUnknown(_IN_COMMIT) if job.happened is None else StoreUnavailable(_LOST)


def _silence(settings: Mapping[str, str]) -> float | None:
    """Return how many seconds an answer may take, as `Session` has it: a statement that the server ends, until then."""
    ends_after = int(settings.get("statement_timeout", "0")) / 1000
    return max(SILENT, ends_after + 1) if ends_after else None


async def _nothing(db: Session) -> None:
    await db.value("SELECT 1")


def _is_seen(done: "asyncio.Future[None]") -> None:
    """Where it failed, the next one looks."""
    done.exception()


async def _all(operations: Iterable[Operation[None]], db: Session) -> None:
    for each in operations:
        await each(db)


async def ask_once(url: str, operation: Operation[T]) -> T:
    """Run one operation on a connection of its own. Raises what `Line.submit` does."""
    line = Line(url, "relayd", WRITES)
    try:
        return await line.submit(operation)
    finally:
        await line.close()

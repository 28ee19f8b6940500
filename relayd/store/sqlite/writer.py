"""The one writer of a process: a thread that commits what has gathered in one transaction.

Group commit: while one commit waits for the disk, requests queue up; the next turn takes
them all. Turns between processes are taken by a file lock, not by SQLite's polling. A future is
resolved only after its commit is durable; for that wait a process has given its turn up (ADR 8).
Nothing here can be cancelled once it has begun; what was given a time to begin in, and did not,
is never carried out (S-04).

When a request fails, the whole turn is rolled back and each request is tried alone, so that one
that cannot be written (too large for the room left) does not take its neighbours with it. After a
commit of unknown outcome every later request is told StoreBroken too: a new process has to look.
"""

import asyncio
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import apsw

from relayd.errors import StoreBroken, StoreError, StoreUnavailable
from relayd.ports.outward import Clock
from relayd.store.sqlite.connection import open_writer, translate
from relayd.store.sqlite.lock import FileLock
from relayd.store.sqlite.wal import Wal

T = TypeVar("T")
Operation = Callable[[apsw.Connection], Any]
_TURN = 500  # requests in one transaction at most
_PATIENCE = 30.0  # seconds that a client is kept waiting for the beginning of a commit (S-04)
_LOOK = 1.0  # seconds between looks for those who waited too long


class _Request:
    __slots__ = (
        "__weakref__",
        "error",
        "future",
        "has_begun",
        "is_abandoned",
        "loop",
        "operation",
        "result",
    )

    def __init__(
        self,
        operation: Operation,
        loop: asyncio.AbstractEventLoop,
        future: "asyncio.Future[Any]",
    ) -> None:
        self.operation = operation
        self.loop = loop
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None
        self.has_begun = False  # only one of these two becomes true
        self.is_abandoned = False


class Writer:
    """Runs operations on the one writing connection, many to a commit."""

    def __init__(
        self,
        path: str,
        *,
        clock: Clock,
        on_commit: Callable[[float], None] | None = None,
        first: Callable[[apsw.Connection], None] | None = None,
    ) -> None:
        """`on_commit` is told, on the writer's thread, how many seconds a turn took.

        `first` comes before the operations of each transaction, and is part of it.
        """
        self._path = path
        self._clock = clock
        self._on_commit = on_commit
        self._first = first
        self._db = open_writer(path)
        self._wal = Wal(self._db, path)
        self._lock = FileLock(f"{path}.write")
        self._preallocate()
        self._gathering: list[_Request] = []  # of this round of the event loop
        self._turns: queue.SimpleQueue[list[_Request]] = queue.SimpleQueue()  # an empty one: stop
        self._broken: StoreBroken | None = None  # for good: its process has to end
        self._guard = threading.Lock()  # of beginning and abandoning
        self._impatient: deque[tuple[float, weakref.ref[_Request]]] = deque()  # the earliest first
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def _preallocate(self) -> None:
        try:
            self._wal.preallocate(self._lock)
        except OSError as exc:
            raise StoreUnavailable(f"the WAL of {self._path} cannot be synced: {exc}") from exc
        except apsw.Error as exc:
            raise translate(exc) from exc

    def provide(self, name: str, function: Callable[[], int]) -> None:
        """Let the SQL of operations call `function`; to be said before the first of them."""
        self._db.create_scalar_function(name, lambda *_: function(), 0)

    def checkpoint_soon(self) -> None:
        """Checkpoint the WAL after this transaction, however short it is; for its operations."""
        self._wal.make_short()

    def submit(
        self,
        operation: Callable[[apsw.Connection], T],
        future: "asyncio.Future[T] | None" = None,
        *,
        is_patient: bool = True,
    ) -> "asyncio.Future[T]":
        """Run `operation` inside the next transaction; the future is done when that is durable.

        Who is not patient gets StoreUnavailable when that has not begun within 30 seconds. All other
        futures are done in the order of their submission. `future` is one that was made before.
        """
        loop = asyncio.get_running_loop()
        request = _Request(operation, loop, loop.create_future() if future is None else future)
        if not self._gathering:
            loop.call_soon(self._hand_over)  # what this round brings goes over in one piece
        self._gathering.append(request)
        if not is_patient:
            if not self._impatient:
                loop.call_later(_LOOK, self._look)
            self._impatient.append((loop.time() + _PATIENCE, weakref.ref(request)))
        return request.future

    def _look(self) -> None:
        """Send those away whose time is over."""
        loop = asyncio.get_running_loop()
        while self._impatient:
            until, found = self._impatient[0]
            request = found()
            if request is not None and not request.future.done():
                if until > loop.time():
                    loop.call_later(_LOOK, self._look)
                    return
                self._abandon(request)
            self._impatient.popleft()

    def _abandon(self, request: _Request) -> None:
        with self._guard:
            request.is_abandoned = not request.has_begun
        if request.is_abandoned:
            request.future.set_exception(
                StoreUnavailable(f"no turn to write within {_PATIENCE:g} s")
            )

    def _hand_over(self) -> None:
        gathered, self._gathering = self._gathering, []
        if gathered:
            self._turns.put(gathered)

    def close(self) -> None:
        """Finish what was submitted, then close. Blocks for the disk."""
        self._hand_over()
        self._turns.put([])
        self._thread.join()
        self._wal.close()
        with self._lock.turn():  # of two at once SQLite would take neither for the last
            self._db.close()
        self._lock.close()

    def _run(self) -> None:
        """Take turns until an empty one says stop.

        What comes in while another process has the lock goes into the same commit.
        """
        stopping = False
        while not stopping and (turn := self._turns.get()):
            began = self._clock.monotonic()
            try:
                with self._lock.turn():
                    stopping = self._gather(turn)
                    self._take_turn(turn)
            except StoreUnavailable as exc:  # there was no turn
                for request in turn:
                    request.error = exc
            self._make_durable(turn)
            turn[0].loop.call_soon_threadsafe(_resolve, turn)
            if self._on_commit is not None:
                self._on_commit(self._clock.monotonic() - began)
            if self._wal.is_long:
                self._wal.checkpoint(self._lock)

    def _gather(self, turn: list[_Request]) -> bool:
        """Add what else has been handed over; True when the last of it says stop."""
        while len(turn) < _TURN:
            try:
                more = self._turns.get_nowait()
            except queue.Empty:
                return False
            if not more:
                return True
            turn += more
        return False

    def _take_turn(self, turn: Sequence[_Request]) -> None:
        if self._broken is None and self._commit(turn):
            return
        for request in turn:
            request.error = self._broken
            if self._broken is None:
                self._commit([request])

    def _commit(self, turn: Sequence[_Request]) -> bool:
        """Run the turn in one transaction; False when it has to be tried one by one."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if self._first is not None:
                self._first(self._db)
            for request in turn:
                self._perform(request)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the one who asked is told
            self._rollback()
            if len(turn) > 1:
                return False
            turn[0].error = translate(exc) if isinstance(exc, apsw.Error) else exc
            return True
        return self._finish(turn)

    def _perform(self, request: _Request) -> None:
        """Run one operation. A StoreError is its own answer: it was raised before anything was written."""
        with self._guard:
            if request.is_abandoned:
                return
            request.has_begun = True
        try:
            request.result = request.operation(self._db)
        except StoreError as exc:
            request.error = exc

    def _finish(self, turn: Sequence[_Request]) -> bool:
        try:
            self._db.execute("COMMIT")
        except (apsw.FullError, apsw.BusyError) as exc:
            self._rollback()
            if len(turn) > 1:
                return False
            turn[0].error = translate(exc)
        except apsw.Error as exc:
            # After a failed write or sync the data may or may not survive: this handle is done for
            # (HQ-03), and nobody may be told either yes or no (S-55).
            self._rollback()
            self._broken = StoreBroken(f"the outcome of a commit is unknown: {exc}")
            for request in turn:
                request.error = self._broken
        return True

    def _make_durable(self, turn: Sequence[_Request]) -> None:
        """Sync what was committed, while other processes have their turns."""
        try:
            self._wal.sync()
        except OSError as exc:
            # As after a failed commit: it may or may not survive, and this handle is done for.
            self._broken = StoreBroken(f"the outcome of a commit is unknown: {exc}")
            for request in turn:
                request.error = self._broken

    def _rollback(self) -> None:
        if not self._db.getautocommit():
            try:
                self._db.execute("ROLLBACK")
            except apsw.Error as exc:
                self._broken = StoreBroken(f"the queue file failed in a rollback: {exc}")


def _resolve(turn: Sequence[_Request]) -> None:
    for request in turn:
        if request.future.done():
            continue  # cancelled, or abandoned
        if request.error is not None:
            request.future.set_exception(request.error)
        else:
            request.future.set_result(request.result)

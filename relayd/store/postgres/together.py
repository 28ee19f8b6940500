"""Writing together what comes while a line is busy: many items, one commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from relayd.errors import CommitUnknown
from relayd.store.postgres.line import Line, Session

A = TypeVar("A")
T = TypeVar("T")

_AT_ONCE = 100  # items

Write = Callable[[Session, Sequence[A]], Awaitable[Sequence[T | Exception]]]
"""Writes items, and returns of each what it gives, or why it was left out."""


class Together(Generic[A, T]):
    """Items on their way to one line.

    When one of several cannot be written at all, each is written alone: the others do not pay for it.
    """

    def __init__(
        self,
        line: Line,
        write: Write[A, T],
        *,
        happened: Callable[[Session, Sequence[A]], Awaitable[Sequence[T | Exception] | None]],
        again: bool,
        unheard: Callable[[Session, Sequence[A]], Awaitable[None]] | None = None,
    ) -> None:
        """`happened`, `again` and `unheard`: as `Line.submit`."""
        self._line = line
        self._write = write
        self._happened = happened
        self._again = again
        self._unheard = unheard
        self._waiting: list[tuple[A, asyncio.Future[T]]] = []
        self._is_asked = False  # an operation that takes what waits is on its way

    def submit(self, item: A) -> "asyncio.Future[T]":
        """Write the item, with others if the line is busy."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if not self._is_asked:
            self._ask()
        return done

    def _ask(self) -> None:
        self._is_asked = True
        self._send([])

    def _send(self, batch: "list[tuple[A, asyncio.Future[T]]]") -> None:
        async def operation(db: Session) -> Sequence[T | Exception]:
            if not batch:
                batch.extend(self._take())
            return await self._write(db, [item for item, _ in batch])

        async def happened(db: Session) -> Sequence[T | Exception] | None:
            return await self._happened(db, [item for item, _ in batch])

        async def unheard(db: Session) -> None:
            if self._unheard is not None:
                await self._unheard(db, [item for item, _ in batch])

        written = self._line.submit(
            operation, is_one=True, happened=happened, again=self._again, unheard=unheard
        )
        written.add_done_callback(partial(self._tell, batch))

    def _take(self) -> "list[tuple[A, asyncio.Future[T]]]":
        taken, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        self._is_asked = False
        if self._waiting:
            self._ask()
        return taken

    def _tell(
        self,
        batch: "list[tuple[A, asyncio.Future[T]]]",
        written: "asyncio.Future[Sequence[T | Exception]]",
    ) -> None:
        error = written.exception()
        if not batch:  # the line did not come to it
            batch.extend(self._take())
        if error is None:
            for (_, done), result in zip(batch, written.result(), strict=True):
                _finish(done, result)
        elif len(batch) == 1 or isinstance(error, CommitUnknown):
            for _, done in batch:
                _finish(done, error)
        else:
            for each in batch:
                self._send([each])


def _finish(done: "asyncio.Future[T]", result: "T | BaseException") -> None:
    if done.done():
        return
    if isinstance(result, BaseException):
        done.set_exception(result)
    else:
        done.set_result(result)

"""The reading connection of a worker: questions that are asked off the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from relayd.errors import StoreUnavailable
from relayd.store.sqlite.connection import open_reader, translate

T = TypeVar("T")


class Reader:
    """One read-only connection. One question at a time, each on a thread."""

    def __init__(self, path: str) -> None:
        self._db = open_reader(path)
        self._busy = asyncio.Lock()

    async def ask(self, question: Callable[[apsw.Connection], T]) -> T:
        """Return what the question finds. Raises StoreUnavailable."""
        async with self._busy:
            try:
                return await in_thread(question, self._db)
            except apsw.Error as exc:
                raise translate(exc) from exc

    async def close(self) -> None:
        async with self._busy:
            self._db.close()


async def in_thread(call: Callable[..., T], *arguments: Any) -> T:
    """Return what the call gives, off the event loop. Raises StoreUnavailable without a thread."""
    try:
        running = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    except RuntimeError as exc:  # the system gives us no thread
        raise StoreUnavailable(f"the queue file cannot be used now: {exc}") from exc
    return await running

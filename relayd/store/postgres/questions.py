"""Asking from code that waits: questions run on a line of their own, in the event loop of a thread of their own."""

import asyncio
import concurrent.futures
import threading
from typing import TypeVar

from relayd.errors import StoreUnavailable, TookTooLong
from relayd.store.postgres import schema, session
from relayd.store.postgres.line import READS, Line, Operation

T = TypeVar("T")

_OF_SILENCE = 0.9


class Questions:
    """One read-only connection, made with the first question."""

    def __init__(self, url: str, *, within: float | None = None) -> None:
        """`within`: how many seconds a statement may take; None: nearly as long as a server may be silent.

        The server ends it then: else the line would take the server for gone, and ask the same once more.
        """
        self._within = _OF_SILENCE * session.SILENT if within is None else within
        settings = {**READS, "statement_timeout": str(max(int(self._within * 1000), 1))}
        self._line = Line(url, "relayd/ask", settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, daemon=True, name="relayd-ask"
        )
        self._is_known = False  # the schema is one that we read
        self._begins = (
            threading.Lock()
        )  # held to begin a question, and to say that there are no more
        self._is_closed = False

    def ask(self, question: Operation[T]) -> T:
        """Return the answer; each statement of the question sees one instant, unless it begins a transaction.

        Raises StoreUnavailable, SchemaMismatch, TookTooLong.
        """
        try:
            return self._begun(question).result()
        except TookTooLong as error:
            words = f"the question took more than {self._within:g} s: ask a narrower one"
            raise TookTooLong(words) from error

    async def ask_later(self, question: Operation[T]) -> T:
        """Return the answer to who asks from an event loop; raises what `ask` does."""
        return await asyncio.wrap_future(self._begun(question))

    def _begun(self, question: Operation[T]) -> "concurrent.futures.Future[T]":
        with self._begins:
            if self._is_closed:
                raise StoreUnavailable("the view is closed")
            if not self._thread.is_alive():
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(self._ask(question), self._loop)

    async def _ask(self, question: Operation[T]) -> T:
        if not self._is_known:  # in a transaction of its own: a question may choose how it sees
            await self._line.submit(schema.expect)
            self._is_known = True
        return await self._line.submit(question, is_one=True)

    def close(self) -> None:
        """Answer what was begun, which another thread may wait for, and no more."""
        with self._begins:
            if self._is_closed:
                return
            self._is_closed = True
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._line.close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

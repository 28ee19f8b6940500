"""Questions to the store, off the event loop: four at a time, each stopped after two seconds.

A view is opened when it is needed, as there may be no queue yet, and kept. What all tabs show alike is
asked once in a while for all of them together.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from relayd.ports.view import QueueView
from relayd.store import open_view

T = TypeVar("T")
THREADS = 4
WITHIN = 2.0  # seconds for one question


class Reading:
    """The store as pages ask it."""

    def __init__(self, url: str, *, threads: int = THREADS) -> None:
        self._url = url
        self._free: list[QueueView] = []
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._places = asyncio.Semaphore(threads)

    async def ask(self, question: Callable[[QueueView], T]) -> T:
        """Return the answer to a question. Raises TookTooLong, and StoreError as `open_view` does."""
        async with self._places:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, partial(self._ask, question))

    def _ask(self, question: Callable[[QueueView], T]) -> T:
        view = self._free.pop() if self._free else open_view(self._url, within=WITHIN)
        try:
            return question(view)
        finally:
            self._free.append(view)

    def close(self) -> None:
        self._threads.shutdown()
        for view in self._free:
            view.close()


class Shared(Generic[T]):
    """An answer that all who ask within some seconds get alike; one question at a time.

    When it is older, they get it for as long again, and the question is asked meanwhile: nobody waits for it while
    somebody looks all the time.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        *,
        every: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._every = every
        self._monotonic = monotonic
        self._asked: asyncio.Future[T] | None = None
        self._answers: list[tuple[float, T]] = []  # when it came, and the answer

    async def get(self) -> T:
        """Return an answer that came no longer ago than twice that. Raises what the question raises."""
        now = self._monotonic()
        age = now - self._answers[0][0] if self._answers else float("inf")
        if age >= self._every and self._asked is None:
            self._asked = asyncio.ensure_future(self._ask())
            self._asked.add_done_callback(self._take)
        if age < 2 * self._every:
            return self._answers[0][1]
        assert self._asked is not None
        return await asyncio.shield(self._asked)  # who asked may leave, the others still wait

    def _take(self, asked: asyncio.Future[T]) -> None:
        self._asked = None
        if not asked.cancelled() and asked.exception() is None:
            self._answers = [(self._monotonic(), asked.result())]

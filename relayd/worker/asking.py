"""How a worker asks its view of the store while its event loop turns.

A store of this machine answers within the time that handing the question to a thread would take. One behind a
network may be away, and would hold up every client and every delivery of this worker.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asking:
    is_near: bool = True  # the store is of this machine

    def soon(self, question: Callable[[], T]) -> T | Awaitable[T]:
        """Return the answer, or what tells it later."""
        return question() if self.is_near else asyncio.to_thread(question)

    async def ask(self, question: Callable[[], T]) -> T:
        """Return the answer."""
        return question() if self.is_near else await asyncio.to_thread(question)

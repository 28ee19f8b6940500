"""Asynchronous servers for synchronous tests: an event loop in a thread of its own.

with Background() as background:
    dns = background.enter(DnsServer(zones))
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
_CEILING = 15.0


class Background:
    """Leaves what it entered, the last first, at its end; raises what went wrong there."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            self.run(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CEILING)
            self._loop.close()

    def enter(self, server: AbstractAsyncContextManager[T]) -> T:
        return self.run(self._stack.enter_async_context(server))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it in the loop, and wait for its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CEILING)

"""The daemon as pages ask it: its live numbers, and what changes something."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from relayd.answers.notices import STOPPED, Notice, of_daemon
from relayd.answers.overview import Reading, rates_of
from relayd.console.reading import Shared
from relayd.control import client
from relayd.control.behalf import Behalf
from relayd.errors import RelaydError

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_METRICS_WITHIN = 1.0  # second
_NOTED_WITHIN = 1.0  # second
_NOTES_PAUSE = 30.0  # seconds after there was no answer
_THREADS = 8
_EVERY = 2.0  # seconds between two readings, for all tabs together


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What the daemon counts just now."""

    reading: Reading | None  # None: it does not answer
    rates: dict[str, float]  # a second; empty: not known yet
    trouble: str = ""  # why it does not answer
    notices: tuple[Notice, ...] = ()


class Daemon:
    """The control socket, asked from threads of its own: one that does not answer holds nothing else up."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="daemon")
        self._notes_from = 0.0  # by the loop's clock
        self._last: Reading | None = None
        self._live = Shared(self._read, every=_EVERY)

    async def ask(self, question: Callable[[str], T]) -> T:
        """Return what a function of `relayd.control.client` answers; it gets the path of the socket."""
        return await self.begin(question)

    def begin(self, question: Callable[[str], T]) -> asyncio.Future[T]:
        """As `ask`, for who does not wait."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, question, self.socket)

    async def note_use(self, verb: str, behalf: Behalf) -> None:
        """Have it noted that a session or a key is used now; nobody waits for a daemon that is away."""
        clock = asyncio.get_running_loop().time
        if clock() < self._notes_from:
            return
        question = partial(client.ask, request={"verb": verb}, behalf=behalf, timeout=_NOTED_WITHIN)
        try:
            await self.ask(question)
        except RelaydError as error:
            self._notes_from = clock() + _NOTES_PAUSE
            _log.info("console_use_not_noted", reason=str(error), fault="local")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def live(self) -> Live:
        """Return the numbers of the last seconds. Never raises for a daemon that is away."""
        return await self._live.get()

    async def _read(self) -> Live:
        try:
            metrics = await asyncio.to_thread(client.metrics, self.socket, timeout=_METRICS_WITHIN)
        except RelaydError as error:
            self._last = None
            is_absent = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
            notices = (STOPPED,) if is_absent else ()
            return Live(reading=None, rates={}, trouble=str(error), notices=notices)
        reading = Reading(at=time.monotonic(), metrics=metrics)
        rates = rates_of(self._last, reading)
        self._last = reading
        return Live(reading=reading, rates=rates, notices=tuple(of_daemon(metrics)))

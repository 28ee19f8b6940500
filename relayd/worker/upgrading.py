"""Bringing the queue of an older relayd up to date takes minutes: tell the supervisor, and the log.

The worker has no event loop yet, and SQLite does not return before a step is done. So a thread says to the
supervisor every second that it goes on. It ends with the block, and with the process.
"""

import os
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import structlog

from relayd.worker.supervision import UPGRADING

_EVERY = 1.0  # seconds between two words to the supervisor
_LOG_EVERY = 60  # words between two lines in the log

log = structlog.get_logger()


class Upgrade:
    """What is told of the steps while the queue is opened, which may be in several blocks; without steps nothing is."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: the worker's end of the line to its supervisor."""
        self._descriptor = descriptor
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = time.monotonic()
        self._at = (0, 0)  # the number of the step, and that of the last

    def step(self, number: int, last: int) -> None:
        """Tell that a step begins."""
        self._at = number, last
        if self._thread is None:
            self._began = time.monotonic()
        self._log("queue_upgrading")
        if self._thread is None:
            self._say()
            self._thread = threading.Thread(target=self._go_on, name="queue-upgrade", daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._over.clear()
            self._thread = None
            if kind is None:
                self._log("queue_upgraded")

    def _go_on(self) -> None:
        said = 0
        while not self._over.wait(_EVERY):
            self._say()
            said += 1
            if said % _LOG_EVERY == 0:
                self._log("queue_upgrading")

    def _say(self) -> None:
        with suppress(OSError):  # the supervisor is slow, or gone, which ends the process
            os.write(self._descriptor, UPGRADING)

    def _log(self, event: str) -> None:
        number, last = self._at
        seconds = round(time.monotonic() - self._began, 1)
        log.info(event, step=number, last=last, seconds=seconds)

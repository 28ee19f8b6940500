"""The workers under one set of settings.

Owns how many there are, and when a dead one is replaced: at once, or with a growing delay when it
did not live long. Says when there is no point in going on. Starting and stopping a generation as a
whole is the business of `relayd.supervisor.serve`.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from relayd.policy.replies.ruleset import rules_from
from relayd.settings import Settings
from relayd.supervisor.lock import QueueLock
from relayd.supervisor.processes import Worker

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long the supervisor waits for what, in seconds; other values are for tests."""

    first_delay: float = 0.1  # before a dead worker is replaced; doubles with each early death
    longest_delay: float = 5.0
    settled: float = 10.0  # a worker that lived as long did not die early
    deaths: int = 5  # in a row before being ready; then there is no point in going on
    killed: float = 2.0  # at the start, for workers whose supervisor was killed to end
    start: float = 60.0  # for a worker to become ready: it may have a big queue to open
    alive: float = 10.0  # systemd is told that all is well while heartbeats are younger
    silence: float = 20.0  # a worker that is silent for longer is killed
    switch: float = 30.0  # for a new generation to become ready
    let_go: float = 2.0  # in a reload, for the workers before to take no more clients
    drain: float | None = None  # for a retired worker to end; None: what its settings give it


@dataclass(slots=True)
class Place:
    """Room for one worker."""

    worker: Worker | None = None
    delay: float = 0.0
    due_at: float = 0.0  # when it is filled again


class Generation:
    """As many places as the settings have workers."""

    def __init__(self, settings: Settings, lock: QueueLock, *, timeouts: Timeouts) -> None:
        self.settings = settings
        rules_from(settings.rules)  # compiled once, before the fork: all workers inherit them
        self.lock = lock
        self.exit_code: int | None = None  # set when there is no point in going on
        self._timeouts = timeouts
        self._places = [Place() for _ in range(settings.workers)]
        self._deaths = 0  # in a row of workers that never were ready

    @property
    def workers(self) -> list[Worker]:
        return [place.worker for place in self._places if place.worker is not None]

    @property
    def ready(self) -> bool:
        return all(place.worker is not None and place.worker.ready for place in self._places)

    @property
    def due_at(self) -> float | None:
        """When the next worker is to be started, by the monotonic clock; None if none is missing."""
        return min((place.due_at for place in self._places if place.worker is None), default=None)

    def fill(self, now: float, start: Callable[[int], Worker]) -> None:
        """Start the workers that are due, each in its place."""
        for number, place in enumerate(self._places):
            if place.worker is None and place.due_at <= now:
                try:
                    place.worker = start(number)
                except OSError as error:
                    log.error("worker_not_started", error=str(error))  # noqa: TRY400 - no bug of ours
                    self._wait(place, now)

    def welcome(self) -> None:
        """Note that a worker is ready."""
        self._deaths = 0

    def reap(self, now: float) -> bool:
        """Clear the places of the dead; return whether there were any."""
        dead = False
        for place in self._places:
            worker = place.worker
            if worker is None or (code := worker.reap()) is None:
                continue
            dead = True
            place.worker = None
            report_end(worker, code, now=now)
            if now - worker.started_at >= self._timeouts.settled:
                place.delay = 0.0
            self._wait(place, now)
            self._judge(code, was_ready=worker.ready)
        return dead

    def stop_all(self) -> list[Worker]:
        """Give up all places; return the workers that were there."""
        workers = self.workers
        self._places = []
        return workers

    def _wait(self, place: Place, now: float) -> None:
        timeouts = self._timeouts
        place.delay = min(place.delay * 2 or timeouts.first_delay, timeouts.longest_delay)
        place.due_at = now + place.delay

    def _judge(self, code: int, *, was_ready: bool) -> None:
        """A worker that says that the settings are wrong, or a row that never got ready, ends it.

        One that could not start for want of descriptors or memory does not count: that passes.
        """
        if not was_ready and code != os.EX_TEMPFAIL:
            self._deaths += 1
        if code == os.EX_CONFIG:
            self.exit_code = code
        elif self._deaths >= self._timeouts.deaths:
            shell_code = 128 - code if code < 0 else code
            self.exit_code = shell_code or os.EX_SOFTWARE


def report_end(worker: Worker, code: int, *, now: float) -> None:
    expected = worker.retired and code in {
        os.EX_OK,
        -signal.SIGTERM,
    }  # the latter before it was ready
    (log.info if expected else log.error)(
        "worker_ended",
        worker=worker.name,
        pid=worker.pid,
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        lived=round(now - worker.started_at, 1),
    )

"""Starting a worker: its name, and what it inherits from the supervisor.

Owns the memory that all workers of a daemon share, over all generations, and the name of its boot. When a worker
is started, and what becomes of it, is for `relayd.supervisor.serve`.
"""

import os
import secrets
from collections.abc import Callable, Collection
from itertools import count
from mmap import mmap

import structlog

from relayd.metrics.shared import SharedCounters
from relayd.policy.console import backoff
from relayd.policy.console.backoff import LoginBackOff
from relayd.policy.intake.known_sources import OCTETS, KnownSources
from relayd.receiver.accept_balance import AcceptBalance
from relayd.receiver.quotas import SharedQuotas
from relayd.settings import Settings
from relayd.supervisor.processes import Worker, spawn
from relayd.supervisor.sockets import Addresses
from relayd.worker.inherited import Inherited

WorkerMain = Callable[[Settings, Inherited], int]

log = structlog.get_logger()


class Starter:
    """Starts the workers of one daemon."""

    def __init__(self, worker_main: WorkerMain, addresses: Addresses, *, timeout: float) -> None:
        """A worker has `timeout` seconds to say something."""
        self._worker_main = worker_main
        self._addresses = addresses
        self._timeout = timeout
        self._boot = secrets.token_hex(8)
        self._counters = SharedCounters()
        self.probes = self._counters.probes
        self._balance = AcceptBalance()
        self._pausing = memoryview(mmap(-1, 8)).cast("Q")
        self._quotas = SharedQuotas()
        self._known = KnownSources(secrets.token_bytes(32), mmap(-1, OCTETS))
        self._guesses = LoginBackOff(secrets.token_bytes(32), mmap(-1, backoff.OCTETS))

    def start(
        self,
        settings: Settings,
        *,
        place: int,
        taken: Collection[str],
        others_serve: bool,
        close: Callable[[], None],
    ) -> Worker:
        """Start a worker under a name that is not `taken`; in the child, `close` what it is not to have.

        `place` is its own among the workers under the same settings, from 0.
        `others_serve`: workers with older settings do, until this one is ready.
        Raises OSError if there is no room for another process.
        """
        name = next(str(number) for number in count(1) if str(number) not in taken)
        self._balance.share_of(name).close()  # it has one from now on
        parent = os.getpid()

        def work(heartbeat: int) -> int:
            inherited = Inherited(
                boot=self._boot,
                name=name,
                place=place,
                listeners=(
                    *self._addresses.listeners(settings),
                    self._addresses.console(settings),
                ),
                control=self._addresses.control(settings),
                metrics=self._addresses.metrics(settings),
                counters=self._counters,
                balance=self._balance,
                known=self._known,
                console_guesses=self._guesses,
                quotas=self._quotas,
                pausing=self._pausing,
                others_serve=others_serve,
                heartbeat=heartbeat,
                parent_pid=parent,
            )
            return self._worker_main(settings, inherited)

        worker = spawn(name, work, close=close, timeout=self._timeout)
        log.info("worker_started", worker=name, pid=worker.pid)
        return worker

    def vacate(self, *, but: Collection[str]) -> None:
        """Note that no worker has a part in what is shared any more, but those named."""
        self._counters.vacate(but=but)
        self._balance.vacate(but=but)

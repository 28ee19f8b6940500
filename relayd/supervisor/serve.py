"""The supervisor: one loop that starts the workers, keeps them running, and passes signals on.

Owns the order of starting, reloading and stopping. Touches no mail and no queue: everything that
can hang or crash on input happens in a worker (architecture section 1). Synchronous, one thread,
because it forks.

A reload never interrupts service: workers with the new settings start next to the old ones, which
drain only when the new ones are ready. While anything is wrong with the new settings the old stay.
One reload at a time: what is wished meanwhile is one more, which begins when there is room for it.
"""

import gc
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from relayd.errors import AddressInUse, RelaydError
from relayd.logs.operational import configure
from relayd.logs.writer import try_status_log
from relayd.policy.stopping import HAND_OVER_WITHIN, LEAVES_FOR, stop_times
from relayd.settings import Settings
from relayd.settings.dkim import with_kept_keys
from relayd.store.url import lock_file
from relayd.supervisor.generation import Generation, Timeouts
from relayd.supervisor.in_force import tell_of
from relayd.supervisor.leaving import Leaving
from relayd.supervisor.lock import QueueLock, lock_at_start
from relayd.supervisor.pending_requests import PendingRequests
from relayd.supervisor.processes import Signals, Worker
from relayd.supervisor.sockets import Addresses, addresses_of
from relayd.supervisor.starter import Starter, WorkerMain
from relayd.supervisor.wanted_reload import WantedReload
from relayd.systemd import Notifier, inherited_sockets, watchdog_period

Reload = Callable[[], Settings]

TICK = 0.5  # seconds between two looks at the clock when nothing happens: twice a heartbeat
NOT_STARTED = "the workers did not start with the new settings"
STOPS = "the daemon stops"
FIX_EVERY = 1.0  # seconds between two looks at the files of unix sockets
FIX_LATER = 30.0  # after one could not be made anew, or workers with it did not start
CLOCK_JUMP = 5.0  # a longer gap means that this process itself was stopped, and cannot blame others

log = structlog.get_logger()


class Supervisor:
    """A daemon's processes, from its first socket to the end of its last worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Reload | None,
        worker_main: WorkerMain,
        timeouts: Timeouts,
    ) -> None:
        """Take the queue's lock, look at the status log, and listen. Raises StartError."""
        self._reload = reload
        self._timeouts = timeouts
        self._notifier = Notifier(os.environ)
        self._watchdog = watchdog_period(os.environ)
        self._addresses = Addresses(inherited_sockets(os.environ))
        self._starter = Starter(worker_main, self._addresses, timeout=timeouts.start)
        store = settings.store
        lock = lock_at_start(store.url, store.folder, within=timeouts.killed)
        try:
            try_status_log(settings.log.status_log)
            self._addresses.open(settings)
        except RelaydError:
            lock.close()
            raise
        self._current = Generation(settings, lock, timeouts=timeouts)
        self._next: Generation | None = None  # coming up in a reload
        self._next_deadline = 0.0
        self._done_by: float | None = None  # when a reload is said to be done at the latest
        self._leaving = Leaving()
        self._announced = False
        self._wanted = WantedReload()  # for a reload
        self._pending = PendingRequests()
        self._stopping = False
        self._stops_at: float | None = None  # while it only says that it will
        self._exit_code = os.EX_OK
        self._ping_at = 0.0
        self._fix_at = 0.0
        self._fixing = False  # a socket was made anew, and no worker has it yet
        self._looked_at = time.monotonic()

    def serve(self) -> int:
        """Run until a signal or a hopeless generation ends it; return the exit code."""
        tell_of(self._current.settings, unused=self._addresses.unused(self._current.settings))
        gc.collect()
        gc.freeze()  # what is loaded now stays shared between the workers
        signals = Signals()
        try:
            while not (self._stopping and not self._workers()):
                self._turn(signals)
        finally:
            self._addresses.close()
            self._current.lock.close()
            signals.close()
        log.info("stopped", exit_code=self._exit_code)
        return self._exit_code

    def _turn(self, signals: Signals) -> None:
        self._wait(signals)
        now = time.monotonic()
        self._forgive_nap(now)
        for number in signals.take():
            self._handle(number, now)
        self._hear(now)
        self._reap(now)
        for worker in self._workers():
            if now >= worker.deadline:
                log.error(
                    "worker_killed", worker=worker.name, pid=worker.pid, silent=not worker.retired
                )
                worker.kill()
                if self._stopping and self._exit_code == os.EX_OK:
                    self._exit_code = os.EX_SOFTWARE  # it did not end as it should
        self._fill(now, signals)
        self._advance(now)
        self._ping(now)

    def _wait(self, signals: Signals) -> None:
        """Sleep until a signal, a heartbeat, or the time to start a worker."""
        poll = select.poll()
        for descriptor in (signals.descriptor, *(each.heartbeat for each in self._workers())):
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        due = [each.due_at for each in self._generations() if each.due_at is not None]
        if self._wanted.put_off_until is not None:
            due.append(self._wanted.put_off_until)
        pause = min([TICK, *(at - time.monotonic() for at in due)])
        poll.poll(max(0, pause) * 1000)

    def _forgive_nap(self, now: float) -> None:
        gap, self._looked_at = now - self._looked_at, now
        if gap > CLOCK_JUMP:
            log.warning("supervisor_slept", seconds=round(gap, 1))
            for worker in self._workers():
                worker.heard_at += gap
                worker.deadline += gap

    def _handle(self, number: int, now: float) -> None:
        match number:
            case signal.SIGTERM | signal.SIGINT if not self._stopping:
                name = signal.Signals(number).name
                if self._stops_at is None and self._starter.probes.are_regular(now):
                    log.info("leaving", signal=name, seconds=LEAVES_FOR)
                    self._starter.probes.leave()
                    self._stops_at = now + LEAVES_FOR
                    return
                log.info("stopping", signal=name)
                self._stop(os.EX_OK, now)
            case signal.SIGINT:
                for worker in self._workers():
                    worker.kill()
            case signal.SIGHUP if not self._stopping:
                self._want_reload()
            case _:  # SIGCHLD: we look after the dead on every turn
                pass

    def _want_reload(self) -> None:
        self._wanted.ask()
        for worker in self._workers():  # they open their logs again
            worker.signal(signal.SIGHUP)

    # The workers

    def _generations(self) -> list[Generation]:
        return [self._current] if self._next is None else [self._current, self._next]

    def _workers(self) -> list[Worker]:
        return [each for gen in self._generations() for each in gen.workers] + self._leaving.workers

    def _hear(self, now: float) -> None:
        for worker in self._leaving.workers:
            worker.hear(now, timeout=self._timeouts.silence)
        for generation in self._generations():
            for worker in generation.workers:
                if worker.hear(now, timeout=self._timeouts.silence):
                    generation.welcome()
                    log.info("worker_ready", worker=worker.name, pid=worker.pid)
        self._heed_upgrade(now)
        self._heed_askers()

    def _heed_upgrade(self, now: float) -> None:
        """Wait for a worker that brings the queue up to date, with all that wait for it, as long as that takes."""
        upgrading = [worker for worker in self._workers() if worker.upgrades]
        for worker in upgrading:
            worker.upgrades = False
        if not upgrading or self._stopping:
            return
        for generation in self._generations():
            for worker in generation.workers:
                worker.wait_until(now + self._timeouts.start)
        self._next_deadline = max(self._next_deadline, now + self._timeouts.start)
        if not self._announced:
            self._notifier.upgrading(within=self._timeouts.start)

    def _heed_askers(self) -> None:
        """A worker asks for what SIGHUP does, and for an answer."""
        asking = [worker for worker in self._workers() if worker.asks]
        for worker in asking:
            worker.asks = False
            self._pending.add(worker)
        if asking and self._stopping:
            self._pending.dismiss(self._current.settings, STOPS)
        elif asking:
            self._want_reload()

    def _reap(self, now: float) -> None:
        alive = len(self._workers())
        self._leaving.reap(now)
        died = [generation.reap(now) for generation in self._generations()]
        if any(died):
            self._tell_status()
        left = self._workers()
        if len(left) < alive:
            names = {worker.name for worker in left}
            self._starter.vacate(but=names)

    def _fill(self, now: float, signals: Signals) -> None:
        for generation in self._generations():
            if generation.exit_code is None:
                generation.fill(now, partial(self._start, generation, signals))

    def _start(self, generation: Generation, signals: Signals, place: int) -> Worker:
        def close() -> None:
            signals.forget()
            for worker in self._workers():
                worker.forget()
            self._addresses.forget(but=generation.settings)
            for other in self._generations():
                if other.lock is not generation.lock:
                    other.lock.close()

        taken = {worker.name for worker in self._workers()}
        return self._starter.start(
            generation.settings,
            place=place,
            taken=taken,
            others_serve=generation is self._next,
            close=close,
        )

    def _retire(self, generation: Generation, now: float, *, for_others: bool = False) -> None:
        within = self._timeouts.drain
        if within is None:
            within = stop_times(generation.settings.limits.stop_within).process
            within += HAND_OVER_WITHIN * for_others
        self._leaving.add(
            generation.stop_all(),
            now + within,
            for_others=for_others,
            addresses=addresses_of(generation.settings),
        )

    # Starting, reloading and stopping

    def _advance(self, now: float) -> None:
        if self._stopping:
            return
        if self._stops_at is not None and now >= self._stops_at:
            log.info("stopping")
            self._stop(os.EX_OK, now)
        elif self._current.exit_code is not None:
            log.error("gave_up", exit_code=self._current.exit_code)
            self._stop(self._current.exit_code, now)
        elif not self._announced:
            if self._current.ready:
                self._announce("started")
        else:
            self._advance_reload(now)

    def _advance_reload(self, now: float) -> None:
        if self._next is not None:
            self._watch_next(self._next, now)
        elif self._done_by is not None:
            self._watch_leaving(self._done_by, now)
        elif self._wanted:
            if self._wanted.is_due(now) and self._leaving.make_room():
                self._begin_reload(now)
        elif now >= self._fix_at:
            self._fix_sockets(now)

    def _announce(self, event: str) -> None:
        self._announced = True
        log.info(event, workers=len(self._current.workers))
        self._notifier.send("READY=1")
        self._tell_status()

    def _begin_reload(self, now: float) -> None:
        reasons: list[str] = []
        settings = self._wanted.settings
        try:
            if settings is None:
                settings = self._read()
            if settings != self._current.settings:
                self._prepare(settings, now)
                self._wanted.end()
                return
        except RelaydError as error:
            if settings is not None and self._is_put_off(error, settings, now):
                return
            reasons = str(error).splitlines()
            for line in reasons:
                log.error("reload_refused", error=line)  # noqa: TRY400 - the operator's to fix
        self._wanted.end()
        self._announce("settings_kept")
        self._pending.answer(self._current.settings, reasons)

    def _read(self) -> Settings:
        """Read the settings that the reload is for. Raises RelaydError."""
        self._pending.begin()
        self._notifier.reloading()
        settings = self._current.settings if self._reload is None else self._reload()
        return replace(settings, dkim=with_kept_keys(settings.dkim, self._current.settings.dkim))

    def _is_put_off(self, error: RelaydError, settings: Settings, now: float) -> bool:
        """Try again in a moment if workers of earlier settings may have the address: they need one to let go of it."""
        return (
            isinstance(error, AddressInUse)
            and self._leaving.may_hold(error.address)
            and self._wanted.put_off(settings, now)
        )

    def _prepare(self, settings: Settings, now: float) -> None:
        """Take what the new settings need, before anything of the old is given up. Raises StartError."""
        lock = self._current.lock
        if lock_file(settings.store.url, settings.store.folder) != lock.path:
            lock = QueueLock(settings.store.url, settings.store.folder)
        try:
            try_status_log(settings.log.status_log)
            self._addresses.open(settings)
        except RelaydError:
            if lock is not self._current.lock:
                lock.close()
            raise
        self._next = Generation(settings, lock, timeouts=self._timeouts)
        self._next_deadline = now + self._timeouts.switch

    def _fix_sockets(self, now: float) -> None:
        """Make sockets anew whose files are lost; workers that have them come up beside the old."""
        self._fix_at = now + FIX_EVERY
        lost = self._addresses.lost()
        if not lost and not self._fixing:
            return
        for address in lost:
            log.warning("socket_lost", address=address)
        self._fixing = True
        if not self._leaving.make_room():
            return
        try:
            self._prepare(self._current.settings, now)
        except RelaydError as error:
            log.error("socket_not_made", reason=str(error))  # noqa: TRY400 - the operator's to fix
            self._fix_at = now + FIX_LATER

    def _watch_next(self, coming: Generation, now: float) -> None:
        some = any(worker.ready for worker in coming.workers)
        late = now >= self._next_deadline
        if coming.ready or (late and some):
            self._next, leaving, self._current = None, self._current, coming
            configure(coming.settings.log)
            self._fixing = False
            tell_of(self._current.settings, unused=self._addresses.unused(self._current.settings))
            self._replace(leaving, now)
            self._done_by = now + self._timeouts.let_go
        elif late or coming.exit_code is not None:
            self._next = None
            self._fix_at = now + FIX_LATER
            log.error("reload_refused", error=NOT_STARTED)
            self._replace(coming, now)
            self._announce("settings_kept")
            self._pending.answer(self._current.settings, [f"{NOT_STARTED}; the log says why"])

    def _watch_leaving(self, done_by: float, now: float) -> None:
        """A reload is done when who comes now meets its settings."""
        if not self._leaving.take_clients() or now >= done_by:
            self._done_by = None
            self._announce("reloaded")
            self._pending.answer(self._current.settings)

    def _replace(self, leaving: Generation, now: float) -> None:
        """Let go of a generation and of all that only it needed; its workers drain meanwhile."""
        self._retire(leaving, now, for_others=True)
        self._addresses.close(but=self._current.settings)
        self._release_lock(leaving)

    def _stop(self, exit_code: int, now: float) -> None:
        self._stopping = True
        self._wanted.end()
        self._exit_code = exit_code
        self._notifier.send("STOPPING=1", "STATUS=Stopping")
        self._addresses.close()
        self._pending.dismiss(self._current.settings, STOPS)
        within = stop_times(self._current.settings.limits.stop_within).process
        self._leaving.stop(now + within)  # those that hand over have no more time for it
        for generation in self._generations():
            self._retire(generation, now)
        if self._next is not None:
            self._release_lock(self._next)
            self._next = None

    def _release_lock(self, leaving: Generation) -> None:
        if leaving.lock is not self._current.lock:
            leaving.lock.close()

    # systemd

    def _tell_status(self) -> None:
        pids = " ".join(str(worker.pid) for worker in self._current.workers)
        self._notifier.send(f"STATUS=Workers: {pids or 'none'}")

    def _ping(self, now: float) -> None:
        """Tell the watchdog that all is well, unless a worker in service is silent (F-35)."""
        if self._watchdog is None or now < self._ping_at:
            return
        oldest = min((each.heard_at for each in self._current.workers if each.ready), default=now)
        if now - oldest <= self._timeouts.alive:
            self._notifier.send("WATCHDOG=1")
            self._ping_at = now + self._watchdog / 2

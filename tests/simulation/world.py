"""One run: workers, clients, operators and a server in one loop, from the first step until all mail has come to its end."""

import hashlib
import random  # noqa: TID251 -- seeded
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.mail.operator import Action
from relayd.mail.outcome import FINAL_STATES, RecipientState
from relayd.policy.delivery.admission import Load
from relayd.ports.view import Query
from relayd.store.memory.queue import MemoryStore
from tests.simulation import logs
from tests.simulation.clients import Clients
from tests.simulation.loop import Loop
from tests.simulation.oracle import Oracle
from tests.simulation.peers import Hop
from tests.simulation.schedule import DELAYS, Schedule
from tests.simulation.steps import LASTING, once, take
from tests.simulation.worker import Worker
from tests.support.builders import SMARTHOST
from tests.support.clock import START

_LOOKS = 4.0  # seconds between looks for what is due, and for the end
_UNTIL_ALL_IS_OVER = 500.0  # seconds after the last fault
_MOST_TURNS = 100_000
_BACK_AFTER = 5.0  # seconds until there is another worker for one that was killed in a verb
_VERBS = frozenset({"claim", "settle", "enqueue", "release", "extend", "act", "pause", "unpause"})


class Clock:
    """`relayd.ports.outward.Clock` of all processes."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.set_by = timedelta()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time()) + self.set_by

    def monotonic(self) -> float:
        return self._loop.time()


class World:
    """See the module. `failure` says what was wrong, empty if nothing was."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.failure = ""
        self.trace: list[tuple[object, ...]] = []
        self._chance = random.Random(schedule.seed * 2 + 1)
        self.loop = Loop(self._chance, on_error=self.fail)
        self.clock = Clock(self.loop)
        self.outside = self.loop.process("outside")
        slots = {SMARTHOST: min(schedule.connections, schedule.workers)}
        self.store = MemoryStore(self.clock, slots)
        self.stamp = [0]  # of the pause rules
        self.oracle = Oracle(self)
        self.hop = Hop(self)
        self.clients = Clients(self)
        self.workers: list[Worker] = []  # all there ever were
        self.away_until: dict[int, float] = {}  # the store, for a place; -1: for all
        self.armed: dict[str, str] = {}  # a verb: how it fails, once
        # A point in what a worker does: whose process ends there, or stops for so many seconds.
        self.doom: dict[str, tuple[int, float]] = {}
        self._places: list[Worker | None] = [None] * schedule.workers
        self._boot = self._generation = 0
        self._slow, self._faulty = schedule.slow, schedule.faulty
        self._faults_end = 1.0
        self._is_over = self._is_stopping = False

    def run(self) -> str:
        """Run it; return what was wrong, empty if nothing was."""
        world = self.loop.world
        for place in range(self.schedule.workers):
            self._start(place)
        for step in self.schedule.steps:
            self.loop.call_in_later(world, step.at, take, self, step)
            lasts = step.seconds if step.kind in LASTING else 0.0
            self._faults_end = max(self._faults_end, step.at + lasts + 1.0)
        self.loop.call_in_later(world, self._faults_end, self._calm)
        self.loop.call_in_later(world, _LOOKS, self._watch)
        try:
            self.loop.run(lambda: self._is_over)
            if not self.failure:
                self._judge()
        finally:
            self.loop.dispose([*(each.process for each in self.workers), self.clients.process])
        return self.failure

    def fail(self, why: str) -> None:
        """Note the first thing that was wrong, and end the run."""
        if not self.failure:
            self.failure = f"at {self.loop.time():g} s: {why}"
        self._is_over = True

    def note(self, *what: object) -> None:
        self.trace.append((self.loop.time(), *what))

    def digest(self) -> str:
        """Return a short name of all that happened, in its order."""
        told = "\n".join(" ".join(map(str, line)) for line in self.trace)
        return hashlib.sha256(f"{self.loop.turns} {self.failure}\n{told}".encode()).hexdigest()[:16]

    # --- chance ------------------------------------------------------------------------------

    def delay(self) -> float:
        """Return how many seconds something takes."""
        if self._slow and self._chance.random() < self._slow:
            return self._chance.choice(DELAYS)
        return 0.0

    async def pause(self, least: float = 0.0) -> None:
        """Wait so long, and `least` so many seconds."""
        if delay := max(least, self.delay()):
            waiter = self.loop.create_future()
            timer = self.loop.call_later(delay, _let_go, waiter)
            try:
                await waiter
            finally:
                timer.cancel()

    async def for_ever(self) -> None:
        await self.loop.create_future()

    def fault(self, verb: str, worker: Worker) -> str:
        """Return how a verb fails that is carried out now; empty: it does not."""
        now = self.loop.time()
        if self.away_until and now < max(
            self.away_until.get(each, 0.0) for each in (-1, worker.place)
        ):
            return "refused"
        if verb not in _VERBS:
            return ""
        how = self.armed.pop(verb, "")
        if not how and self._faulty and self._chance.random() < self._faulty:
            how = self._chance.choice(("refused", "not done", "done"))
        return how

    def dies_at(self, point: str, worker: Worker) -> bool:
        """Tell whether the process of a worker ends here, and end it; or stop it for a while."""
        place, seconds = self.doom.get(point, (-1, 0.0))
        if place != worker.place or not worker.process.is_alive:
            return False
        del self.doom[point]
        if seconds:
            self.stop(worker, seconds)
        else:
            self.kill(worker, back_after=_BACK_AFTER)
        return not worker.process.is_alive

    def fate_of(self, message: QueuedMessage, recipient: QueuedRecipient) -> str:
        """Return what the server does with a recipient; reports have a fate of their own."""
        if not message.reverse_path:
            return self.schedule.report_fate
        return self.clients.fates[recipient.address]

    # --- workers -----------------------------------------------------------------------------

    def alive(self) -> list[Worker]:
        return [each for each in self.workers if each.process.is_alive and not each.has_ended]

    def up(self) -> list[Worker]:
        return [each for each in self.workers if each.is_up]

    def begin_set(self, *, is_boot: bool) -> None:
        """Begin workers for all places; `is_boot`: no earlier one is alive."""
        self._boot += is_boot
        self._generation += 1
        for place in range(self.schedule.workers):
            self._start(place)

    def _start(self, place: int) -> None:
        before = self._places[place]
        is_there = before is not None and before.process.is_alive and not before.has_ended
        if self._is_stopping or (is_there and before.generation == self._generation):  # type: ignore[union-attr]  # it is there
            return
        name = f"{place}.{self._generation}"
        worker = Worker(self, place, name, self._boot, self._generation)
        self._places[place] = worker
        self.workers.append(worker)
        self.note("start", name)
        self.loop.spawn(worker.process, worker.run())

    def kill(self, worker: Worker, *, back_after: float | None) -> None:
        """Kill its process; another one takes its place so many seconds later."""
        if not worker.process.is_alive:
            return
        self.note("kill", worker.name)
        worker.is_up = False
        self.loop.kill(worker.process)
        self.hop.lost(worker)
        self.clients.hang_up(worker)
        if back_after is not None and worker.generation == self._generation:
            self.loop.call_in_later(self.loop.world, back_after, self._start, worker.place)

    def stop(self, worker: Worker, seconds: float) -> None:
        """Stop its process, as SIGSTOP does."""
        self.note("stop", worker.name)
        worker.process.is_stopped = True
        self.loop.call_in_later(self.loop.world, seconds, self.loop.resume, worker.process)

    def ended(self, worker: Worker) -> None:
        self.note("end", worker.name)
        if logs.were_abandoned():  # the system closes its connections
            self.hop.lost(worker)

    # --- the end -----------------------------------------------------------------------------

    def _calm(self) -> None:
        """Nothing goes wrong any more."""
        self.note("calm")
        self._slow = self._faulty = 0.0
        for each in (self.armed, self.doom, self.away_until):
            each.clear()
        self.hop.is_back()
        for worker in self.alive():
            self.loop.resume(worker.process)
        for place in range(self.schedule.workers):
            self._start(place)

    def _watch(self) -> None:
        """Wake somebody when something is due, and end the run when all is over."""
        recipients = list(self.store._tables.recipients())
        is_calm = self.loop.time() > self._faults_end
        is_final = all(each.state in FINAL_STATES for each in recipients)
        if up := self.up():
            worker, now = self._chance.choice(up), self.clock.now()
            if any(each.is_waiting() and each.next_attempt_at <= now for each in recipients):
                self.loop.call_in(worker.process, worker.scheduler.wake)
            if is_calm:
                self._let_go(worker, is_held=any(each.state is _HELD for each in recipients))
        is_sent = any(each.store.sent for each in self.workers)  # what may become mail yet
        if is_calm and is_final and self.clients.are_done and not is_sent:
            self._end()
        if self.loop.time() > self._faults_end + _UNTIL_ALL_IS_OVER:
            self.fail("workers do not end" if is_final else "mail is not at its end")
        elif self.loop.turns > _MOST_TURNS:
            self.fail("it spins")
        self.loop.call_in_later(self.loop.world, _LOOKS, self._watch)

    def _let_go(self, worker: Worker, *, is_held: bool) -> None:
        """Operators end all pauses, and what they held goes on."""
        if is_held:
            self.loop.spawn(worker.process, once(partial(worker.act, Query(), Action.RELEASE)))
        if self.store._tables.pause_rules:
            self.loop.spawn(worker.process, once(worker.unpause))

    def _end(self) -> None:
        """Stop all workers; when they have ended, the run is over."""
        if self._is_stopping and not self.alive():
            self._is_over = True
        if not self._is_stopping:
            self._is_stopping = True
            for worker in self.alive():
                self.loop.call_in(worker.process, worker.stopping.set)

    def _judge(self) -> None:
        """Look at what is left when all workers have ended."""
        self.oracle.at_the_end()
        self.clients.judge()
        for worker in self.workers:
            if worker.has_ended and worker.process.is_alive and not logs.were_abandoned():
                load = worker.scheduler._window.load
                if load != Load():
                    self.fail(f"the window of {worker.name} is not empty: {load}")
                if worker.smarthost._share.held:
                    self.fail(f"{worker.name} has ended and holds connections")
        if self.hop.connections:
            self.fail("connections are open, and nobody is there")


_HELD = RecipientState.HELD


def _let_go(waiter: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)

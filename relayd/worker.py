"""One worker process: settings in, a receiver and a deliverer over one store out.

The composition root: the only module that knows the concrete parts. Owns their order of start and
stop, the process's clock and its random source, and what happens at the moment a message is
durable: log it, and deliver it from memory when it was born leased.
"""

import asyncio
import gc
import os
import random  # noqa: TID251 -- the one random source
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from relayd.control.server import serve_control
from relayd.deliverer.courier import Courier
from relayd.deliverer.hosts import Smarthost
from relayd.deliverer.scheduler import LEASE_FOR, Scheduler
from relayd.errors import CommitUnknown, RelaydError, StoreError
from relayd.logs import StatusLog
from relayd.mail.address import Address
from relayd.mail.envelope import MessageId, NewMessage, WorkerNumber, make_id
from relayd.mail.event import Detail, Event
from relayd.net import smtp_client
from relayd.policy import route
from relayd.policy.ruleset import builtin_rules
from relayd.policy.verdict import VerdictRules
from relayd.ports import Clock, Connection, QueueStore, Target, Work
from relayd.receiver.listener import Receiver
from relayd.settings import ListenerSettings, Settings
from relayd.store import open_store

STOP_WITHIN = 30.0  # seconds for messages and transactions under way, each
_BEAT = 1.0  # seconds between heartbeats
_TIDY = 3600.0  # seconds between looks for history that is too old

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What a worker gets from the supervisor."""

    daemon: str  # the same for all workers of one supervisor, and for no other
    name: str  # "1", "2", ...: no two live workers share one
    listeners: tuple[tuple[ListenerSettings, socket.socket], ...]
    control: socket.socket
    heartbeat: int  # descriptor: "R" when ready, then "." every second
    parent_pid: int


def run(settings: Settings, inherited: Inherited) -> int:
    """Work until SIGTERM, then finish what was begun. Returns the exit status."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)  # sessions are no cycles; what is left can wait
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_work(settings, inherited))
        except* CommitUnknown as unknown:
            # The handle is done for (HQ-03); a fresh process finds out what the file holds.
            log.critical("worker_ends", fault="local", reason=str(unknown.exceptions[0]))
        except* RelaydError as error:
            log.critical("worker_ends", fault="local", reason=str(error.exceptions[0]))
    return 1


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class SystemClock:
    """`relayd.ports.Clock` on the machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 -- this is Clock

    def monotonic(self) -> float:
        return time.monotonic()


class SmtpTransport:
    """`relayd.ports.Transport` over `relayd.net`."""

    def __init__(self, *, helo: str, clock: Clock) -> None:
        self._helo = helo
        self._clock = clock
        self._timers = smtp_client.Timers()
        self._tls = smtp_client.TlsContexts()

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return await smtp_client.resolve(host, port)

    async def connect(self, target: Target) -> Connection:
        return await smtp_client.connect(
            target, helo=self._helo, timers=self._timers, tls=self._tls, clock=self._clock
        )


class Intake:
    """`relayd.receiver.session.Intake`: from a complete message to a durable one."""

    def __init__(
        self,
        *,
        store: QueueStore,
        worker: WorkerNumber,
        scheduler: Scheduler,
        status_log: StatusLog,
        clock: Clock,
    ) -> None:
        self._store = store
        self._worker = worker
        self._scheduler = scheduler
        self._status_log = status_log
        self._clock = clock
        self._latest = datetime.fromtimestamp(0, UTC)
        self._count = 0

    def next_id(self, at: datetime) -> MessageId:
        """Return an id; they rise also when the clock is set back."""
        self._latest = max(at, self._latest)
        self._count += 1
        return make_id(self._latest, self._worker, self._count)

    def destination_of(self, address: Address, *, is_test: bool) -> str:
        return route.destination_of(address.domain, is_test=is_test)

    def submit(self, message: NewMessage) -> "asyncio.Future[Sequence[Work]]":
        lease_for = LEASE_FOR if self._scheduler.has_room(len(message.content)) else None
        stored = self._store.enqueue(message, worker=self._worker, lease_for=lease_for)
        stored.add_done_callback(partial(self._stored, message))
        return stored

    def refused(self, detail: Detail) -> None:
        self._status_log.refused(self._clock.now(), detail)

    def _stored(self, message: NewMessage, stored: "asyncio.Future[Sequence[Work]]") -> None:
        if stored.exception() is not None:
            return
        self._status_log.received(message)
        for work in stored.result():
            self._scheduler.put(work)


async def _work(settings: Settings, inherited: Inherited) -> int:
    clock = SystemClock()
    slots = {route.SMARTHOST: settings.workers}
    store = open_store(settings.store.url, clock=clock, slots=slots)
    status_log = StatusLog(settings.log.status_log, node=socket.gethostname())
    try:
        worker = await store.register(inherited.name, daemon=inherited.daemon)
        await _serve(settings, inherited, _Parts(store, worker, status_log, clock))
    finally:
        await store.close()
        status_log.close()
    return 0


@dataclass(frozen=True, slots=True)
class _Parts:
    store: QueueStore
    worker: WorkerNumber
    status_log: StatusLog
    clock: Clock


async def _serve(settings: Settings, inherited: Inherited, parts: _Parts) -> None:
    stopping = _stop_signal(parts.status_log)
    scheduler = _scheduler(settings, parts)
    receiver = _receiver(settings, inherited, parts, scheduler)
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(
                serve_control(
                    inherited.control,
                    store=parts.store,
                    on_change=scheduler.wake,
                    record=partial(_record_acts, parts.status_log),
                    info=lambda: {"worker": inherited.name, "pid": os.getpid()},
                )
            ),
            tasks.create_task(_beat(inherited, stopping)),
            tasks.create_task(_tidy(settings.store.history, parts)),
        ]
        delivering = tasks.create_task(scheduler.run(tasks))
        receiver.start(tasks)
        os.write(inherited.heartbeat, b"R")
        await stopping.wait()
        await receiver.stop(within=STOP_WITHIN)
        await scheduler.stop(within=STOP_WITHIN)
        await delivering
        for task in background:
            task.cancel()
    log.info("worker_stopped", worker=inherited.name)


def _stop_signal(status_log: StatusLog) -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, status_log.reopen)
    return stopping


def _scheduler(settings: Settings, parts: _Parts) -> Scheduler:
    transport = SmtpTransport(helo=settings.fqdn, clock=parts.clock)
    share = -(-settings.smarthost.connections // settings.workers)
    source = random.Random()  # noqa: S311 -- spreads retries, keeps no secret
    return Scheduler(
        store=parts.store,
        worker=parts.worker,
        smarthost=Smarthost(settings.smarthost, transport=transport, clock=parts.clock),
        courier=Courier(
            store=parts.store,
            sink=parts.status_log,
            clock=parts.clock,
            rules=VerdictRules(retry=settings.retry, classifier=builtin_rules()),
            jitter=source.random,
        ),
        clock=parts.clock,
        connections={route.SMARTHOST: share},
        jitter=source.random,
    )


def _receiver(
    settings: Settings, inherited: Inherited, parts: _Parts, scheduler: Scheduler
) -> Receiver:
    intake = Intake(
        store=parts.store,
        worker=parts.worker,
        scheduler=scheduler,
        status_log=parts.status_log,
        clock=parts.clock,
    )
    return Receiver(
        inherited.listeners,
        fqdn=settings.fqdn,
        limits=settings.limits,
        intake=intake,
        clock=parts.clock,
    )


def _record_acts(status_log: StatusLog, events: Sequence[Event]) -> None:
    for event in events:
        status_log.acted(event)


async def _beat(inherited: Inherited, stopping: asyncio.Event) -> None:
    """Tell the supervisor that the loop turns; stop when it is gone."""
    while True:
        await asyncio.sleep(_BEAT)
        if os.getppid() != inherited.parent_pid:
            stopping.set()
            return
        try:
            os.write(inherited.heartbeat, b".")
        except (BlockingIOError, BrokenPipeError):
            continue  # it is slow, or gone, which the next look at the parent tells


async def _tidy(history: timedelta, parts: _Parts) -> None:
    """Delete what is older than the history is kept, a piece at a time."""
    while True:
        deleted = 0
        try:
            deleted = await parts.store.purge(parts.clock.now() - history)
        except CommitUnknown:
            raise
        except StoreError as error:
            log.warning("purge_failed", fault="local", reason=str(error))
        await asyncio.sleep(1.0 if deleted else _TIDY)

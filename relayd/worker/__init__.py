"""One worker process: settings in, a receiver and a deliverer over one store out.

The composition root: the only place that knows the concrete parts. Owns their order of start and
stop. `intake.py` takes messages over, `outward.py` puts delivery together, `system.py` has the
clock and the network.
"""

import asyncio
import gc
import os
import signal
import socket
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from relayd.control.server import Desk, serve_control
from relayd.deliverer.reports import Reporter
from relayd.deliverer.scheduler import Scheduler
from relayd.errors import (
    RelaydError,
    SchemaMismatch,
    StartError,
    StoreBroken,
    StoreError,
    UsersError,
)
from relayd.logs.status import StatusLog
from relayd.mail.ids import WorkerIdentity
from relayd.metrics.counters import Counters
from relayd.metrics.scrape import Scrape
from relayd.metrics.server import serve_metrics
from relayd.metrics.shared import SharedCounters
from relayd.net.content import ContentGate
from relayd.policy import route
from relayd.policy.known_sources import KnownSources
from relayd.ports.outward import Clock, EventSink
from relayd.ports.queue import Acted, QueueStore
from relayd.receiver.accept_balance import AcceptBalance
from relayd.receiver.context import Service
from relayd.receiver.listener import Receiver
from relayd.receiver.tls import ServerTls
from relayd.receiver.users import Users
from relayd.settings import ListenerSettings, Settings
from relayd.store import open_store, open_view
from relayd.store.url import queue_file
from relayd.trace import tracing
from relayd.trace.followers import DebugLog
from relayd.worker.descriptors import shares_of
from relayd.worker.events import Events
from relayd.worker.following import Following
from relayd.worker.intake import IdSource, Intake
from relayd.worker.outward import Outward, Parts, deliver
from relayd.worker.supervision import Supervision
from relayd.worker.system import SmtpTransport, SystemClock
from relayd.worker.wakeup import Wakeups

__all__ = ["Inherited", "Intake", "SmtpTransport", "SystemClock", "run"]

STOP_WITHIN = 30.0  # seconds for messages and transactions under way
HAND_OVER_WITHIN = 20.0  # seconds of these for clients to leave by themselves in a reload
_TOLD = 10.0  # seconds between two lines about reports that are not mailed
_MEASURED = 1.0  # seconds between two looks at what the metrics show as it stands
_WATCHED = 5.0  # seconds between two looks at the file of the smarthost's password or token
_TIDY = 3600.0  # seconds between looks for history that is too old

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What a worker gets from the supervisor."""

    boot: str  # the same for all workers of one supervisor, and for no other
    name: str  # "1", "2", ...: no two live workers share one
    listeners: tuple[tuple[ListenerSettings, socket.socket], ...]
    control: socket.socket
    metrics: tuple[socket.socket, ...]  # none: nobody is to scrape
    counters: SharedCounters
    balance: AcceptBalance
    known: KnownSources
    heartbeat: int  # descriptor of the line to the supervisor
    parent_pid: int


def run(settings: Settings, inherited: Inherited) -> int:
    """Work until SIGTERM, then finish what was begun. Returns the exit status."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)  # sessions are no cycles; what is left can wait
    status = os.EX_SOFTWARE
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_work(settings, inherited))
        except* SchemaMismatch as mismatch:
            log.critical("worker_ends", fault="local", reason=str(mismatch.exceptions[0]))
            status = os.EX_CONFIG  # another try would end the same way
        except* (
            RelaydError
        ) as error:  # StoreBroken, too: a fresh process finds out what the file holds
            log.critical("worker_ends", fault="local", reason=str(error.exceptions[0]))
    return status


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _work(settings: Settings, inherited: Inherited) -> int:
    if settings.log.level == "debug":
        tracing.add(DebugLog())
    clock = SystemClock()
    slots = {route.SMARTHOST: settings.workers}
    counters = Counters(inherited.counters.row(inherited.name))
    store = open_store(settings.store.url, clock=clock, slots=slots, on_commit=counters.commit)
    view = open_view(settings.store.url)
    node = socket.gethostname()
    status_log = StatusLog(settings.log.status_log, node=node)
    events = Events(status_log, counters)
    try:
        registered = await store.register(
            WorkerIdentity(node=node, boot=inherited.boot, name=inherited.name)
        )
        await _serve(
            settings,
            inherited,
            Parts(store, view, registered.number, IdSource(registered), events, clock),
            counters,
        )
    finally:
        view.close()
        await store.close()
        status_log.close()
    return 0


async def _serve(
    settings: Settings, inherited: Inherited, parts: Parts, counters: Counters
) -> None:
    stopping, leaving, hurried = _stop_signals()
    supervision = Supervision(inherited.heartbeat, inherited.parent_pid)
    # uvloop's threads for look-ups begin with the first, and end the process if there can be none then.
    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 25)
    async with asyncio.TaskGroup() as tasks:
        outward = await deliver(settings, parts, tasks)
        scheduler = outward.scheduler
        wakeups = Wakeups(settings.control_socket, inherited.name, scheduler.wake)
        following = Following(settings.control_socket, inherited.name)
        intake = Intake(
            store=parts.store,
            view=parts.view,
            worker=parts.worker,
            ids=parts.ids,
            scheduler=scheduler,
            events=parts.events,
            clock=parts.clock,
            routes=settings.routes,
            late=outward.late,
            hint=wakeups.give,
        )
        users = _users(settings, parts.clock, inherited.known)
        tls = _server_tls(settings, parts.clock)
        receiver = Receiver(
            inherited.listeners,
            Service(
                fqdn=settings.fqdn,
                limits=replace(settings.limits, connections=shares_of(settings.limits).clients),
                intake=intake,
                clock=parts.clock,
                refuse_suppressed=settings.bounces.refuse_suppressed,
                tls=tls,
                users=users,
                checker=_checker(settings),
            ),
            share=inherited.balance.share_of(inherited.name),
        )
        background = [
            tasks.create_task(supervision.beat(stopping), name="heartbeat"),
            tasks.create_task(following.serve(), name="trace server"),
            tasks.create_task(_keep_measuring(counters, receiver, outward), name="gauges"),
            tasks.create_task(_tidy(settings.store.history, parts), name="purge of the history"),
            tasks.create_task(_keep_telling(outward.reporter), name="reports not mailed"),
            tasks.create_task(_end_with(intake.broken), name="broken store"),
            tasks.create_task(
                _watch_login(settings, parts.store, scheduler, wakeups), name="login file"
            ),
        ]
        answering = tasks.create_task(
            _answer(settings, inherited, parts, outward, supervision, wakeups, following),
            name="control socket",
        )
        showing = tasks.create_task(
            serve_metrics(inherited.metrics, _scrape(settings, inherited)), name="metrics"
        )
        delivering = tasks.create_task(scheduler.run(tasks), name="scheduler")
        receiver.start(tasks)
        _on_hangup(parts.events.log, tls)
        _measure(counters, receiver, outward)
        supervision.ready()
        try:
            await stopping.wait()
        except asyncio.CancelledError:  # a part of this worker failed: the others will serve
            await receiver.stop(within=0)
            raise
        answering.cancel()  # it ends what it has in hand; the next question is for others
        showing.cancel()  # others answer now, and the address may be wanted elsewhere
        if leaving.is_set():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, receiver.hurry)
            if hurried.is_set():
                receiver.hurry()
            async with asyncio.TaskGroup() as handing_over:  # others wait for our leases
                handing_over.create_task(
                    scheduler.stop(within=HAND_OVER_WITHIN), name="stop of deliveries"
                )
                handing_over.create_task(
                    receiver.hand_over(within=HAND_OVER_WITHIN), name="hand-over of listeners"
                )
        within = STOP_WITHIN - HAND_OVER_WITHIN * leaving.is_set()
        async with asyncio.TaskGroup() as ending:  # both at once: the supervisor waits no longer
            ending.create_task(receiver.stop(within=within), name="stop of the receiver")
            ending.create_task(scheduler.stop(within=within), name="stop of deliveries")
        wakeups.close()
        outward.sites.close()
        outward.reader.close()
        if users is not None:
            users.close()
        await delivering
        for task in background:
            task.cancel()
    outward.reporter.tell_unmailed()
    log.info("worker_stopped", worker=inherited.name)


def _server_tls(settings: Settings, clock: Clock) -> ServerTls | None:
    """Load the certificate, if listeners need it; it was good when the settings were read."""
    if settings.certificate is None:
        return None
    try:
        return ServerTls(settings.certificate, clock)
    except OSError as error:
        raise StartError(f"the certificate cannot be used: {error}") from error


def _users(settings: Settings, clock: Clock, known: KnownSources) -> Users | None:
    """Read the users file, if listeners need it; it was good when the settings were read."""
    if settings.users_file is None:
        return None
    try:
        return Users(settings.users_file, clock, known)
    except UsersError as error:
        raise StartError(f"the users file cannot be used: {error}") from error


def _checker(settings: Settings) -> ContentGate | None:
    """Return who judges content, if the settings draw consequences from it."""
    if settings.content is None or not settings.content.rules.has_effect:
        return None
    return ContentGate(settings.content)


async def _answer(
    settings: Settings,
    inherited: Inherited,
    parts: Parts,
    outward: Outward,
    supervision: Supervision,
    wakeups: Wakeups,
    following: Following,
) -> None:
    """Serve the control socket."""

    def changed() -> None:
        outward.scheduler.wake()
        wakeups.give()

    await serve_control(
        inherited.control,
        Desk(
            store=parts.store,
            on_change=changed,
            record=partial(_record_acts, parts.events),
            report=outward.report_given_up,
            info=lambda: {"worker": inherited.name, "pid": os.getpid()},
            settings=settings,
            reload=supervision.reload,
            follow=following.follow,
            samples=inherited.counters.samples,
        ),
    )


def _scrape(settings: Settings, inherited: Inherited) -> Scrape:
    url = settings.store.url
    return Scrape(
        inherited.counters,
        open_view=lambda: open_view(url),
        doctor=queue_file(url).with_name("doctor.json"),
        clock=SystemClock(),
    )


def _on_hangup(status_log: StatusLog, tls: ServerTls | None) -> None:
    """SIGHUP: open the log again, and look at the certificate at once; users are looked at anyway."""

    def look_again() -> None:
        status_log.reopen()
        if tls is not None:
            tls.look_again()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, look_again)


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event, asyncio.Event]:
    """Return what is set to stop, by SIGUSR1 because others take over, and by SIGTERM in any case."""
    stopping, leaving, hurried = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop_for(reason: asyncio.Event) -> None:
        reason.set()
        stopping.set()

    loop.add_signal_handler(signal.SIGTERM, stop_for, hurried)
    loop.add_signal_handler(signal.SIGUSR1, stop_for, leaving)
    return stopping, leaving, hurried


def _record_acts(events: EventSink, acted: Acted) -> None:
    for report in acted.reports:
        events.received(report)
    for event in acted.events:
        events.acted(event)


def _measure(counters: Counters, receiver: Receiver, outward: Outward) -> None:
    counters.measured(
        clients=receiver.connections,
        servers=outward.transport.connections,
        is_paused=outward.results.is_paused,
    )


async def _keep_measuring(counters: Counters, receiver: Receiver, outward: Outward) -> None:
    while True:
        await asyncio.sleep(_MEASURED)
        _measure(counters, receiver, outward)


async def _keep_telling(reporter: Reporter) -> None:
    while True:
        await asyncio.sleep(_TOLD)
        reporter.tell_unmailed()


async def _end_with(broken: "asyncio.Future[None]") -> None:
    """End the worker when its store is of no further use."""
    await broken


async def _watch_login(
    settings: Settings, store: QueueStore, scheduler: Scheduler, wakeups: Wakeups
) -> None:
    """Have the smarthost asked again soon when our password or token has changed (S-53)."""
    login = settings.smarthost.login
    if login is None:
        return
    seen = _stamp(login.file)
    while True:
        await asyncio.sleep(_WATCHED)
        before, seen = seen, _stamp(login.file)
        if seen == before:
            continue
        try:
            await store.resume(route.SMARTHOST)
        except StoreBroken:
            raise
        except StoreError as error:
            log.warning("resume_failed", fault="local", reason=str(error))
            seen = before
        else:
            log.info("login_changed")
            scheduler.wake()
            wakeups.give()


def _stamp(path: str) -> tuple[int, int, int] | None:
    """Return what changes with a file; None: it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- a cheap look each few seconds
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size  # its mode counts as well


async def _tidy(history: timedelta, parts: Parts) -> None:
    """Delete what is older than the history is kept, a piece at a time.

    A clock that is set forward while we run makes nothing old at once: it may be wrong.
    """
    clock = parts.clock
    began = clock.now() - timedelta(seconds=clock.monotonic())
    while True:
        deleted = 0
        try:
            elapsed = timedelta(seconds=clock.monotonic())
            deleted = await parts.store.purge(min(clock.now(), began + elapsed) - history)
        except StoreBroken:
            raise
        except StoreError as error:
            log.warning("purge_failed", fault="local", reason=str(error))
        await asyncio.sleep(1.0 if deleted else _TIDY)

"""One worker process: settings in, a receiver and a deliverer over one store out.

The composition root: the only place that knows the concrete parts. Owns their order of start and stop.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from relayd.deliverer.fallbacks import Fallbacks
from relayd.deliverer.scheduler import Scheduler
from relayd.deliverer.site_news import SiteNews
from relayd.errors import (
    RelaydError,
    SchemaMismatch,
    StoreError,
    StoreMoved,
    first_of,
)
from relayd.logs.status import StatusLog
from relayd.loops import loop_factory
from relayd.mail.ids import Registration, WorkerIdentity
from relayd.mail.pause import PauseRule
from relayd.metrics.counters import Counters
from relayd.metrics.server import serve_metrics
from relayd.policy.delivery import route
from relayd.policy.delivery.shares import slots_of
from relayd.policy.pausing import Pausing
from relayd.policy.seldom import Seldom
from relayd.policy.stopping import HAND_OVER_WITHIN, stop_times
from relayd.ports.membership import Cluster
from relayd.ports.queue import QueueStore
from relayd.ports.view import QueueView
from relayd.ports.wakeups import Wakeups
from relayd.receiver.listener import Receiver
from relayd.receiver.tls import ServerTls
from relayd.settings import Settings
from relayd.store import open_hints, open_store, open_view
from relayd.store.url import is_file
from relayd.trace import tracing
from relayd.trace.followers import DebugLog
from relayd.worker import housekeeping
from relayd.worker.answering import answer, note_pauses, scrape
from relayd.worker.asking import Asking
from relayd.worker.dnssec import distrust_liars
from relayd.worker.events import Events
from relayd.worker.following import Following
from relayd.worker.inherited import Inherited
from relayd.worker.installation import mark_of
from relayd.worker.intake import Intake
from relayd.worker.inward import receive
from relayd.worker.machine_wide import for_the_machine
from relayd.worker.membership import DaemonMembership, SharedMembership
from relayd.worker.outward import deliver, resolver_of
from relayd.worker.parts import IdSource, Parts
from relayd.worker.reaching import reached
from relayd.worker.signing import keep_comparing, signer_of
from relayd.worker.sts import keep_policies
from relayd.worker.supervision import Supervision
from relayd.worker.system import SystemClock
from relayd.worker.tlsrpt import keep_counting, keep_reporting
from relayd.worker.upgrading import Upgrade
from relayd.worker.wakeups import SocketWakeups, Together

log = structlog.get_logger()


def run(settings: Settings, inherited: Inherited) -> int:
    """Work until SIGTERM, then finish what was begun. Returns the exit status."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)  # sessions are no cycles; what is left can wait
    status = os.EX_SOFTWARE
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            return runner.run(_work(settings, inherited))
        except* (SchemaMismatch, StoreMoved) as mismatch:
            log.critical("worker_ends", fault="local", reason=str(first_of(mismatch)))
            status = os.EX_CONFIG  # another try would end the same way
        except* (
            RelaydError
        ) as error:  # StoreBroken, too: a fresh process finds out what the file holds
            log.critical("worker_ends", fault="local", reason=str(first_of(error)))
    return status


async def _work(settings: Settings, inherited: Inherited) -> int:
    if settings.log.level == "debug":
        tracing.add(DebugLog())
    clock = SystemClock()
    is_near = is_file(settings.store.url)
    shared = SharedMembership(settings.workers, inherited.place)
    slots = {  # a worker takes one of each, and who is alive on other machines changes
        route.key_of(route.ViaSmarthost(name)): slots_of(each.connections, settings.workers)
        if is_near
        else each.connections
        for name, each in settings.smarthosts.items()
    }
    counters = Counters(inherited.counters.row(inherited.name))
    stopping = _Stopping()
    supervision = Supervision(inherited.heartbeat, inherited.parent_pid)
    reach = partial(reached, settings, inherited, supervision, stopping.begun)
    upgrade = Upgrade(inherited.heartbeat)

    async def opened() -> QueueStore:
        with upgrade:
            return open_store(
                settings.store.url,
                clock=clock,
                slots=slots,
                on_commit=counters.commit,
                keeps_bounced=bool(settings.store.keep_bounced),
                upgrading=upgrade.step,
                cluster=Cluster(
                    mark="" if is_near else mark_of(Path(settings.store.folder), inherited.boot),
                    settings=settings.shared_digest,
                    keys=settings.shared_keys,
                    on_others=shared.tell,
                ),
            )

    store = await reach(opened)
    if store is None:
        return 0
    view = open_view(settings.store.url)
    status_log = StatusLog(settings.log.status_log, node=settings.node)
    events = Events(status_log, counters)
    try:
        identity = WorkerIdentity(node=settings.node, boot=inherited.boot, name=inherited.name)
        registered = await reach(partial(_register, store, identity, upgrade))
        if registered is None:
            return 0
        await _serve(
            settings,
            inherited,
            supervision,
            stopping,
            Parts(
                store,
                view,
                registered.number,
                IdSource(registered),
                events,
                clock,
                Pausing(inherited.pausing, read=partial(_pause_rules, view, Seldom(), clock)),
                signer_of(settings.dkim),
                Asking(is_near=is_near),
                DaemonMembership(settings.workers, inherited.place) if is_near else shared,
            ),
            counters,
        )
        await _leave(store, registered)
    finally:
        view.close()
        await store.close()
        status_log.close()
    return 0


async def _register(store: QueueStore, identity: WorkerIdentity, upgrade: Upgrade) -> Registration:
    with upgrade:
        return await store.register(identity)


async def _leave(store: QueueStore, registered: Registration) -> None:
    """Say that all connections are closed. Without it the others wait for this worker as for one that was killed."""
    try:
        await store.leave(registered.number)
    except StoreError as error:
        log.warning("leave_failed", fault="local", reason=str(error))


async def _serve(
    settings: Settings,
    inherited: Inherited,
    supervision: Supervision,
    stopping: "_Stopping",
    parts: Parts,
    counters: Counters,
) -> None:
    # uvloop's threads for look-ups begin with the first, and end the process if there can be none then.
    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 25)
    news = SiteNews(parts.store.sites, clock=parts.clock)
    fallbacks: Fallbacks | None = None
    if settings.routes.falls_back:
        fallbacks = Fallbacks(news, clock=parts.clock)
        settings = replace(settings, routes=replace(settings.routes, diverted=fallbacks))
    async with asyncio.TaskGroup() as tasks:
        outward = await deliver(settings, parts, tasks, news, fallbacks)
        scheduler = outward.scheduler
        wakeups = _wakeups(settings, inherited, parts, tasks, scheduler)
        scheduler.join_by(wakeups.give_joined)
        scheduler.hears_hints = lambda: wakeups.are_heard
        following = Following(settings.control_socket, inherited.name)
        intake = Intake(
            parts,
            scheduler,
            routes=settings.routes,
            late=outward.late,
            reporter=outward.reporter,
            hint=wakeups.give,
        )
        inward = await receive(settings, inherited, parts, intake)
        receiver = inward.receiver
        background = [
            tasks.create_task(supervision.beat(stopping.begun), name="heartbeat"),
            tasks.create_task(following.serve(), name="trace server"),
            tasks.create_task(
                housekeeping.keep_measuring(counters, receiver, outward, intake), name="gauges"
            ),
            tasks.create_task(
                housekeeping.tidy(settings.store.history, parts.store, parts.clock),
                name="purge of the history",
            ),
            tasks.create_task(outward.scarce.run(outward.sites), name="shares of limits"),
            tasks.create_task(
                housekeeping.finish_upgrade(parts.store, parts.clock), name="steps of the schema"
            ),
            tasks.create_task(
                distrust_liars(settings, outward.resolver, parts.clock), name="look at DNSSEC"
            ),
            tasks.create_task(keep_policies(outward.policies, parts), name="MTA-STS policies"),
            tasks.create_task(keep_counting(outward.tally, parts), name="count of TLS sessions"),
            tasks.create_task(keep_reporting(outward.reports, parts), name="TLS reports"),
            tasks.create_task(
                housekeeping.keep_looking(parts.pausing, parts.asking), name="pause rules"
            ),
            tasks.create_task(
                housekeeping.keep_telling(outward.reporter), name="reports not mailed"
            ),
            tasks.create_task(
                housekeeping.compare_settings(settings, is_first=not inherited.place),
                name="settings of other machines",
            ),
            tasks.create_task(_end_with(intake.broken), name="broken store"),
            tasks.create_task(
                housekeeping.watch_login(settings, parts.store, scheduler, wakeups),
                name="login file",
            ),
        ]
        background += for_the_machine(settings, inherited, parts, tasks)
        if parts.signer is not None:
            comparing = keep_comparing(parts.signer, resolver_of(settings, parts.clock).texts)
            background.append(tasks.create_task(comparing, name="records of DKIM keys"))
        answering = tasks.create_task(
            answer(settings, inherited, parts, outward, supervision, wakeups, following),
            name="control socket",
        )
        showing = tasks.create_task(
            serve_metrics(inherited.metrics, scrape(settings, inherited, parts.pausing)),
            name="metrics",
        )
        delivering = tasks.create_task(scheduler.run(tasks), name="scheduler")
        receiver.start(tasks)
        _on_hangup(parts.events.log, inward.tls)
        housekeeping.measure(counters, receiver, outward, intake)
        supervision.ready()
        try:
            await stopping.begun.wait()
        except asyncio.CancelledError:  # a part of this worker failed: the others will serve
            await receiver.stop(within=0)
            raise
        answering.cancel()  # it ends what it has in hand; the next question is for others
        intake.stop_waiting()
        showing.cancel()  # others answer now, and the address may be wanted elsewhere
        await _end(stopping, receiver, scheduler, settings.limits.stop_within, supervision.let_go)
        wakeups.close()
        outward.sites.close()
        if outward.policies is not None:
            outward.policies.close()
        outward.reader.close()
        inward.close()
        await delivering
        scheduler.close()
        if outward.tally is not None:
            await outward.tally.flush()
        for task in background:
            task.cancel()
    outward.reporter.tell_unmailed()
    log.info("worker_stopped", worker=inherited.name)


def _wakeups(
    settings: Settings,
    inherited: Inherited,
    parts: Parts,
    tasks: asyncio.TaskGroup,
    scheduler: Scheduler,
) -> Wakeups:
    """Return the hints to all who have the queue: by datagrams on this machine, by the store to others."""
    here = SocketWakeups(settings.control_socket, inherited.name, scheduler.wake)
    if parts.asking.is_near:
        return here
    elsewhere = open_hints(
        settings.store.url,
        settings.node,
        scheduler.wake,
        partial(note_pauses, inherited.pausing),
        scheduler.count_others,
    )
    tasks.create_task(elsewhere.keep(), name="hints of machines")
    return Together((here, elsewhere))


def _pause_rules(view: QueueView, told: Seldom, clock: SystemClock) -> Collection[PauseRule] | None:
    """Return the pause rules in the store; None when it cannot be read."""
    try:
        return view.pause_rules()
    except StoreError as error:
        if told.is_due(clock.monotonic()):
            log.warning("pause_rules_not_read", fault="local", reason=str(error))
        return None


def _on_hangup(status_log: StatusLog, tls: ServerTls | None) -> None:
    """SIGHUP: open the log again, and look at the certificate at once; users are looked at anyway."""

    def look_again() -> None:
        status_log.reopen()
        if tls is not None:
            tls.look_again()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, look_again)


class _Stopping:
    """What signals say of the end of this worker."""

    def __init__(self) -> None:
        """SIGUSR1: others take over, and clients may take their time. SIGTERM: stop; or, after the first, hurry.

        SIGUSR2: nobody takes over any more, stop.
        """
        self.begun = asyncio.Event()
        self.hands_over = asyncio.Event()
        self.hurried = asyncio.Event()
        self.for_good = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._note, self.hands_over)
        loop.add_signal_handler(signal.SIGTERM, self._note, self.hurried)
        loop.add_signal_handler(signal.SIGUSR2, self._note, self.for_good)

    def _note(self, what: asyncio.Event) -> None:
        what.set()
        self.begun.set()


async def _end(
    stopping: _Stopping,
    receiver: Receiver,
    scheduler: Scheduler,
    stop_within: timedelta,
    let_go: Callable[[], None],
) -> None:
    """Let sessions and deliveries end: in a reload at their leisure, then within the times of a stop.

    `let_go` says that no more clients are taken.
    """
    times = stop_times(stop_within)
    receiver.accept_no_more()
    let_go()
    if stopping.hands_over.is_set():
        async with asyncio.TaskGroup() as meanwhile:
            leisure = meanwhile.create_task(_hand_over(receiver, scheduler), name="hand-over")
            hurry = meanwhile.create_task(_hurry(stopping, receiver), name="hurry")
            stop = meanwhile.create_task(stopping.for_good.wait(), name="stop")
            await asyncio.wait((leisure, stop), return_when=asyncio.FIRST_COMPLETED)
            for task in (leisure, hurry, stop):
                task.cancel()
    async with asyncio.TaskGroup() as ending:  # both at once: the supervisor waits no longer
        ending.create_task(receiver.stop(within=times.sessions), name="stop of the receiver")
        ending.create_task(
            scheduler.stop(within=times.sessions, dot_within=times.dot), name="stop of deliveries"
        )


async def _hand_over(receiver: Receiver, scheduler: Scheduler) -> None:
    async with asyncio.TaskGroup() as tasks:  # others wait for our leases
        tasks.create_task(scheduler.drain(within=HAND_OVER_WITHIN), name="drain of deliveries")
        tasks.create_task(
            receiver.hand_over(within=HAND_OVER_WITHIN), name="hand-over of listeners"
        )


async def _hurry(stopping: _Stopping, receiver: Receiver) -> None:
    await stopping.hurried.wait()
    receiver.hurry()


async def _end_with(broken: "asyncio.Future[None]") -> None:
    """End the worker when its store is of no further use."""
    await broken

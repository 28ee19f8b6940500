"""What a worker does every now and then: measure, tell, look at the login file, delete what is old."""

import asyncio
import os
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from relayd.deliverer.reports import Reporter
from relayd.deliverer.scheduler import Scheduler
from relayd.errors import (
    StoreBroken,
    StoreError,
    StoreUnavailable,
)
from relayd.metrics.counters import Counters
from relayd.policy.delivery import route
from relayd.policy.pausing import Pausing
from relayd.policy.seldom import Seldom
from relayd.ports.outward import Clock
from relayd.ports.queue import QueueStore
from relayd.ports.upkeep import LetGo
from relayd.ports.wakeups import Wakeups
from relayd.receiver.listener import Receiver
from relayd.settings import Settings
from relayd.store import nodes_of
from relayd.store.url import is_file
from relayd.worker.asking import Asking
from relayd.worker.intake import Intake
from relayd.worker.outward import Outward
from relayd.worker.parts import Parts

_TOLD = 10.0  # seconds between two lines about reports that are not mailed: a flood of bounces is no flood of lines
_LOOKED = 10.0  # seconds between two looks at the ends of pause rules
_MEASURED = 1.0  # seconds between two looks at gauges; scrapers come every 15 s or so
_WATCHED = (
    5.0  # seconds between two looks at the login's file: one stat, and a new secret is used at once
)
_LET_GO = 15.0  # seconds between looks for content that need not be kept: the disk may be short
_TIDY = 3600.0  # seconds between looks for history that is too old: ages are told in days
_COUNTED = (
    15.0  # seconds between looks for history to count; a question counts what is new by itself
)
_UNUSED = timedelta(days=180)  # a policy of MTA-STS that no delivery used for so long is deleted
_UNREPORTED = timedelta(days=2)  # what no TLS report could tell by then is deleted
_AUDIT = timedelta(days=90)  # the audit of the console is kept at least so long
_UPGRADED = 5.0  # seconds between looks whether the last machine with an older relayd has gone
_SEALED = 15.0  # seconds between tries to have the secret of the store made
_BREATH = 0.05  # seconds between two batches: mail comes first

log = structlog.get_logger()


def measure(counters: Counters, receiver: Receiver, outward: Outward, intake: Intake) -> None:
    is_paused = outward.results.is_paused
    is_full = is_away = False
    try:
        is_full = not intake.has_room()
    except StoreUnavailable:
        is_away = True
    counters.measured(
        clients=receiver.connections,
        servers=outward.transport.connections,
        is_paused=is_paused,
        is_full=is_full,
        is_failing=is_away or is_paused or intake.is_failing,
    )


async def keep_measuring(
    counters: Counters, receiver: Receiver, outward: Outward, intake: Intake
) -> None:
    while True:
        await asyncio.sleep(_MEASURED)
        measure(counters, receiver, outward, intake)


async def keep_looking(pausing: Pausing, asking: Asking) -> None:
    """Have the pause rules read again: their ends move when the clock is set (F-31), and other machines change them.

    Where the store is near, the next who needs them reads them.
    """
    while True:
        if asking.is_near:
            await asyncio.sleep(_LOOKED)
            pausing.forget()
        else:
            await asyncio.to_thread(pausing.look_again)
            await asyncio.sleep(_LOOKED)


async def keep_telling(reporter: Reporter) -> None:
    while True:
        await asyncio.sleep(_TOLD)
        reporter.tell_unmailed()


async def watch_login(
    settings: Settings, store: QueueStore, scheduler: Scheduler, wakeups: Wakeups
) -> None:
    """Have a smarthost asked again soon when our password or token there has changed (S-53)."""
    files = {
        route.key_of(route.ViaSmarthost(name)): each.login.files
        for name, each in settings.smarthosts.items()
        if each.login is not None
    }
    seen = {key: [*map(_stamp, each)] for key, each in files.items()}
    while files:
        await asyncio.sleep(_WATCHED)
        for key, each in files.items():
            stamps = [*map(_stamp, each)]
            if stamps != seen[key] and await _resumed(key, store):
                seen[key] = stamps
                scheduler.wake()
                wakeups.give()


async def _resumed(destination: str, store: QueueStore) -> bool:
    """Have a destination asked again; tell whether that is on record. Raises StoreBroken."""
    try:
        await store.resume(destination)
    except StoreBroken:
        raise
    except StoreError as error:
        log.warning("resume_failed", fault="local", reason=str(error))
        return False
    log.info("login_changed", destination=destination)
    return True


def _stamp(path: str) -> tuple[int, int, int] | None:
    """Return what changes with a file; None: it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- a cheap look each few seconds
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size  # its mode counts as well


def oldest_kept(history: timedelta, clock: Clock) -> Callable[[], datetime]:
    """Return what tells, at any time, which instant the history is kept from.

    A clock that is set forward while we run makes nothing old at once: it may be wrong.
    """
    began = clock.now() - timedelta(seconds=clock.monotonic())

    def tell() -> datetime:
        return min(clock.now(), began + timedelta(seconds=clock.monotonic())) - history

    return tell


async def tidy(history: timedelta, store: QueueStore, clock: Clock) -> None:
    """Delete what is older than the history is kept, a piece at a time; what is kept for the console too."""
    oldest = oldest_kept(history, clock)
    oldest_audit = oldest_kept(max(history, _AUDIT), clock)
    while True:
        deleted = 0
        try:
            deleted = await store.purge(oldest())
            deleted += await store.people.forget(oldest_audit())
            deleted += await store.forget_keys()
            deleted += await store.trust.forget_sts_policies(clock.now() - _UNUSED)
            deleted += await store.trust.forget_tls_results((clock.now() - _UNREPORTED).date())
        except StoreBroken:
            raise
        except StoreError as error:
            log.warning("purge_failed", fault="local", reason=str(error))
        await asyncio.sleep(1.0 if deleted else _TIDY)


async def keep_tally(parts: Parts) -> None:
    """Count the history, a batch at a time. Machines look at different times: one finds what there is."""
    between, told = _COUNTED + parts.worker % 8 / 3, Seldom()
    while True:
        is_busy = False
        try:
            is_busy = await parts.store.tally_up()
        except StoreBroken:
            raise
        except StoreError as error:
            if told.is_due(parts.clock.monotonic()):
                log.warning("tally_failed", fault="local", reason=str(error))
        await asyncio.sleep(_BREATH if is_busy else between)


async def compare_settings(settings: Settings, *, is_first: bool) -> None:
    """Tell which machines that are alive treat mail by other settings, and which keys these are.

    The first worker does, once. A queue that is a file has no other machine.
    """
    if is_file(settings.store.url) or not is_first:
        return
    try:
        nodes = await asyncio.to_thread(nodes_of, settings.store.url)
    except StoreError:  # others tell it
        return
    for node in nodes:
        if node.workers and node.settings != settings.shared_digest:
            keys = list(node.differs_in(settings.shared_keys))
            log.warning("settings_differ", fault="local", node=node.name, keys=keys)


async def finish_upgrade(store: QueueStore, clock: Clock) -> None:
    """Have the steps of the schema applied that wait until no older relayd is alive; end when none waits."""
    told = Seldom()
    while True:
        try:
            done = await store.migrate()
        except StoreBroken:
            raise
        except StoreError as error:
            if told.is_due(clock.monotonic()):
                log.warning("schema_waits", fault="local", reason=str(error))
        else:
            for step in done.applied:
                log.info("schema_step", step=step.name)
            if not done.waiting:
                return
            held_by = sorted({name for step in done.waiting for name in step.held_by})
            if held_by and told.is_due(clock.monotonic()):
                log.info("schema_waits", step=done.waiting[0].name, held_by=held_by)
        await asyncio.sleep(_UPGRADED)


async def have_secret(store: QueueStore) -> None:
    """Have the store make its secret, once: what the console seals with it outlasts the console.

    On a disk that is full it is made when there is room.
    """
    while True:
        try:
            await store.secret()
        except StoreBroken:
            raise
        except StoreError:  # others tell it
            await asyncio.sleep(_SEALED)
        else:
            return


async def let_go(keep_bounced: timedelta, store: QueueStore, clock: Clock) -> None:
    """Delete the content of bounced messages when it was kept for long enough, or the disk gets short.

    What goes before its time is told: `relayd queue requeue` cannot send it again.
    """
    oldest = oldest_kept(keep_bounced, clock)
    told, failed, messages, octets = Seldom(), Seldom(), 0, 0
    while True:
        gone = LetGo()
        try:
            gone = await store.let_go(oldest())
        except StoreBroken:
            raise
        except StoreError as error:
            if failed.is_due(clock.monotonic()):
                log.warning("let_go_failed", fault="local", reason=str(error))
        if gone.for_room:
            messages, octets = messages + gone.messages, octets + gone.octets
        if messages and told.is_due(clock.monotonic()):
            log.warning("kept_content_deleted", fault="local", messages=messages, octets=octets)
            messages, octets = 0, 0
        if not gone.messages:
            await asyncio.sleep(_LET_GO)

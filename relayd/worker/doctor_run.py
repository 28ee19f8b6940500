"""Making the checks for a page, in a process of its own: python -m relayd.worker.doctor_run SETTINGS FOLDER CHECKS BY PARENT.

They wait for servers and read the queue file through, which a worker must not do. The process has the lock of
`relayd.doctor.running` from the worker that started it, says after each check how far it is, and ends with that
worker, or when its time is over.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import structlog

from relayd import core_dumps, kernel
from relayd.config.load import load
from relayd.doctor import CheckRequest, Memory, steps
from relayd.doctor.daemon import ask_daemon, check_as_service, check_daemon
from relayd.doctor.running import Run, write_run
from relayd.doctor.saved import save, saved
from relayd.errors import RelaydError
from relayd.logs import operational
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.ports.outward import Clock
from relayd.settings import Settings
from relayd.worker.doctor import QUICK
from relayd.worker.system import SystemClock

WITHIN = 300  # seconds; with twenty lists that do not answer it takes two minutes
_log = structlog.get_logger(__name__)

Checks = Sequence[tuple[str, Callable[[], Awaitable[Sequence[Finding]]]]]


def main() -> None:
    file, place, checks, by, parent = sys.argv[1:]
    folder = Path(place)
    core_dumps.forbid()
    signal.alarm(WITHIN)  # ends this process, whatever it waits for
    with suppress(OSError):
        kernel.die_with_parent(int(parent), by=signal.SIGKILL)
    run = Run(at=SystemClock().now(), by=by, quick=checks == QUICK, steps=())
    try:
        settings = load(file)
        with operational.silenced():
            run = make(settings, folder, run)
        if not run.quick:
            save(settings, run.findings, run.at)
        write_run(folder, run)
    except RelaydError as error:
        write_run(folder, replace(run, trouble="; ".join(str(error).splitlines())))
    except Exception:  # noqa: BLE001 -- the one catch-all of this unit of work
        _log.exception("doctor_failed", fault="local")
        write_run(folder, replace(run, trouble="an error of ours; the log has more"))


def make(settings: Settings, folder: Path, run: Run) -> Run:
    """Make all checks of a run; return it with what they found. Raises StartError."""
    clock = SystemClock()
    memory = remembered(settings, clock)
    request = CheckRequest(quick=run.quick)
    checks: Checks = [
        ("the daemon", lambda: _check_daemon(settings)),
        *((each.words, each.run) for each in steps(settings, request, clock, memory)),
    ]
    return asyncio.run(_make(folder, replace(run, steps=tuple(each for each, _ in checks)), checks))


async def _make(folder: Path, run: Run, checks: Checks) -> Run:
    for done, (_, check) in enumerate(checks, 1):
        write_run(folder, run)
        run = replace(run, done=done, findings=[*run.findings, *await check()])
    return run


async def _check_daemon(settings: Settings) -> Sequence[Finding]:
    return [check_daemon(settings, ask_daemon(settings)), *check_as_service(settings)]


def remembered(settings: Settings, clock: Clock) -> Memory:
    """Return what blocklists said in the saved result: they are not asked again within an hour."""
    result = saved(settings)
    if result is None:
        return {}
    at = clock.monotonic() - max((clock.now() - result.at).total_seconds(), 0.0)
    memory: Memory = {}
    for each in result.findings:
        if each.check is Check.BLOCKLIST and each.level is not Level.UNKNOWN:
            with suppress(ValueError):
                ip, zone = each.subject.split()
                memory[zone, ip_address(ip)] = at, each
    return memory


if __name__ == "__main__":
    main()

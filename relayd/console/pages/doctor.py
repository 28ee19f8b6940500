"""Doctor: the last result of `relayd doctor`, with its age and a remedy for each finding; and new checks.

The checks need what the console must not have, such as the daemon's secrets. So the daemon makes them, in a
process of its own, and the page shows how far they are.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.console.asked import Asked
from relayd.control import client
from relayd.control.protocol import DOCTOR_CHECKS
from relayd.doctor.machine import state_directory
from relayd.doctor.running import is_running, read_run
from relayd.doctor.saved import saved
from relayd.policy.doctor.finding import Finding, Level, tally

_ORDER = (Level.FAIL, Level.WARN, Level.UNKNOWN, Level.OK, Level.SKIPPED)
_MARKS = {
    Level.FAIL: "bounced",
    Level.WARN: "deferred",
    Level.UNKNOWN: "queued",
    Level.OK: "sent",
    Level.SKIPPED: "dropped",
}


async def show(asked: Asked) -> Response:
    """The page itself: what is worst comes first."""
    settings = asked.console.settings
    folder = state_directory(settings)
    running = await asyncio.to_thread(is_running, folder)  # first: then its last words are read
    run = await asyncio.to_thread(read_run, folder)
    result = await asyncio.to_thread(saved, settings)
    findings = [] if result is None else _by_level(result.findings)
    return asked.page(
        "doctor.html",
        running=running,
        run=run,
        looked=[] if run is None else _by_level(run.findings),
        result=result,
        findings=findings,
        counts=tally(findings),
        order=_ORDER,
        marks=_MARKS,
    )


async def begin(asked: Asked) -> Response:
    """Have the daemon make checks; the page then shows how far they are."""
    checks = asked.text("checks")
    if checks not in DOCTOR_CHECKS:
        raise HTTPException(400, "choose which checks are to be made")
    request = {"verb": "doctor", "checks": checks}
    await asked.change(partial(client.ask, request=request))
    return asked.see("/doctor")


def _by_level(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda each: _ORDER.index(each.level))

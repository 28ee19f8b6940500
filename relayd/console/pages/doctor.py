"""Doctor: the last result of `relayd doctor`, with its age and a remedy for each finding.

The checks themselves need what the console must not have, such as the daemon's secrets.
"""

import asyncio

from starlette.responses import Response

from relayd.console.asked import Asked
from relayd.doctor.saved import saved
from relayd.policy.doctor.finding import Level, tally

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
    result = await asyncio.to_thread(saved, asked.console.settings)
    findings = (
        [] if result is None else sorted(result.findings, key=lambda each: _ORDER.index(each.level))
    )
    return asked.page(
        "doctor.html",
        result=result,
        findings=findings,
        counts=tally(findings),
        order=_ORDER,
        marks=_MARKS,
    )

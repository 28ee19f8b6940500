"""Bounces: how many, why, whose, and what to do about each kind."""

from starlette.responses import Response

from relayd.answers.tally import bounced
from relayd.console.asked import Asked
from relayd.console.bounces import BY, SPANS
from relayd.mail.tally import Dimension

CLASSES = ("hard", "block", "soft")


async def show(asked: Asked) -> Response:
    """The page itself."""
    span = asked.params.get("since", "7d")
    span = span if span in SPANS else "7d"
    by = BY.get(asked.params.get("by", ""), Dimension.CATEGORY)
    found = await asked.console.glance.bounces(by, span)
    total = found.answer.total
    return asked.page(
        "bounces.html",
        lines=found.lines,
        total=total,
        bounced=bounced(total),
        classes=[(name, total.counts[name]) for name in CLASSES],
        by=by.value,
        all_by=tuple(BY),
        span=span,
        spans=tuple(SPANS),
    )

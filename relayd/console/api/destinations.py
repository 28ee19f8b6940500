"""Destinations: what waits for each, which are left alone, and how each did in the last hour."""

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from relayd.answers.tally import bounced
from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.resource import resources
from relayd.console.api.shapes import destinations as shapes
from relayd.console.destinations import Destination
from relayd.policy.console.roles import Scope

router = resources("destinations")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
_ACCEPTED = ("sent", "relayed")


@router.get("/destinations", response_model=shapes.Destinations)
async def show(caller: _Reader) -> Response:
    """List destinations with mail that waits or was tried in the last hour, those with most waiting first.

    At most 200 of them; `left_out` says how many more there are.
    """
    found = await caller.console.glance.destinations()
    told = [_fields(each) for each in found.destinations]
    return answer({"destinations": told, "left_out": found.left_out})


def _fields(each: Destination) -> dict[str, object]:
    waiting, paused, hour = each.waiting, each.paused, each.hour
    counts = {} if hour is None else hour.counts
    return {
        "destination": each.name,
        "waiting": {} if waiting is None else dict(waiting.by_status),
        "oldest": None if waiting is None else waiting.oldest,
        "next_attempt_at": None if waiting is None else waiting.next_attempt_at,
        "paused_until": None if paused is None else paused.until,
        "paused_for": None if paused is None else paused.why,
        "last_hour": {
            "accepted": sum(counts.get(name, 0) for name in _ACCEPTED),
            "deferred": counts.get("deferred", 0),
            "bounced": 0 if hour is None else bounced(hour),
        },
        "seconds": each.seconds,
    }

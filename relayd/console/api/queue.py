"""The queue: how much waits, and for how long."""

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.resource import resources
from relayd.console.api.shapes import destinations as shapes
from relayd.console.glance import MOST
from relayd.policy.console.roles import Scope
from relayd.ports.backlog import AGES

router = resources("queue")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ))]


@router.get("/queue", response_model=shapes.Queue)
async def show(caller: _Reader) -> Response:
    """Tell how many recipients wait, by status and by age, and what waits longest.

    A number that is greater than `most` means: more than that.
    """
    found = await caller.ask(lambda view: view.backlog(caller.now, most=MOST))
    ends = (*(age.total_seconds() for age in AGES), None)
    return answer(
        {
            "waiting": {status.value: number for status, number in found.by_status.items()},
            "ages": [
                {"until_seconds": end, "recipients": number}
                for end, number in zip(ends, found.by_age, strict=True)
            ],
            "paused": found.paused,
            "oldest": None if found.oldest is None else found.oldest.received_at,
            "oldest_destination": None if found.oldest is None else found.oldest.destination,
            "most": found.most,
        }
    )

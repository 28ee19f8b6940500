"""Counted outcomes, as `relayd stats` has them."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from relayd.answers.tally import fields, step_for
from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Text, instant
from relayd.console.api.resource import resources
from relayd.console.api.shapes import stats as shapes
from relayd.mail.tally import Dimension
from relayd.policy.console.roles import Scope
from relayd.ports.tally import TallyQuery

router = resources("stats")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ))]


class Step(StrEnum):
    TEN_MINUTES = "10m"
    HOUR = "1h"
    DAY = "1d"


_STEPS = {
    Step.TEN_MINUTES: timedelta(minutes=10),
    Step.HOUR: timedelta(hours=1),
    Step.DAY: timedelta(days=1),
}


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

    since: Text = "24h"
    until: Text | None = None
    by: Annotated[Dimension | None, Field(description="without it by time")] = None
    step: Annotated[Step | None, Field(description="of time; without it by the length")] = None
    limit: Annotated[int, Field(ge=1, le=500, description="values, those with most mail")] = 50


@router.get("/stats", response_model=shapes.Stats)
async def show(params: Annotated[Params, Query()], caller: _Reader) -> Response:
    """Tell how many events there were, by time or by what they have in common, and the delays to acceptance."""
    since = instant("since", params.since, caller.now)
    until = instant("until", params.until, caller.now, is_end=True)
    assert since is not None
    step = step_for((until or caller.now) - since) if params.step is None else _STEPS[params.step]
    query = TallyQuery(
        by=params.by,
        step=step if params.by is None else None,
        since=since,
        until=until,
        limit=params.limit if params.by is not None else 0,
    )
    *rows, total = fields(await caller.ask(lambda view: view.tally(query)), params.by)
    return answer({"rows": rows, "total": total})

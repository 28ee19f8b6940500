"""Acts on mail that waits: hold, release, expedite, bounce, drop. The daemon carries them out, for the key."""

from functools import partial
from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from relayd.console.api.answers import answer, seal, unseal
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Selector, query_of
from relayd.console.api.problems import wrong
from relayd.console.api.resource import resources
from relayd.console.api.shapes import actions as shapes
from relayd.control import client
from relayd.control.acts import ActRequest
from relayd.control.protocol import selects_everything
from relayd.mail.ids import MessageId
from relayd.mail.operator import Action
from relayd.policy.console.roles import Scope

router = resources("actions")
_Operator = Annotated[Caller, Depends(Needs(Scope.OPERATE, own=True))]
_MOST = 10_000


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    action: Action
    selector: Selector
    reason: Annotated[str, Field(max_length=1000, description="for the history")] = ""
    dry_run: Annotated[bool, Field(description="only count all that match")] = False
    limit: Annotated[int, Field(ge=1, le=_MOST, description="recipients to look at")] = _MOST
    cursor: Annotated[str, Field(max_length=500, description="`next` of the last answer")] = ""


@router.post("/actions", response_model=shapes.Acted)
async def act(wanted: Wanted, caller: _Operator) -> Response:
    """Act on all recipients that a selector matches, at most 10,000 at once; `next` says where to go on."""
    query = query_of(wanted.selector, caller.now)
    if selects_everything(query):
        raise wrong("selector", "it is empty, which would select everything", "a filter")
    about = f"actions {wanted.action} {wanted.selector.model_dump_json()}"
    before = None
    if wanted.cursor:
        place = unseal(caller, wanted.cursor, about=about)
        before = (MessageId(int(place[0])), int(place[1]))
    request = ActRequest(
        query=query,
        action=wanted.action,
        reason=wanted.reason,
        dry_run=wanted.dry_run,
        limit=None if wanted.dry_run else wanted.limit,
        before=before,
    )
    acted = await caller.change(partial(client.act, request=request))
    return answer(
        {
            "matched": acted.matched,
            "changed": acted.changed,
            "next": None if acted.more is None else seal(caller, acted.more, about=about),
        }
    )

"""Recipients by any filter, the newest message first."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import Response

from relayd.answers.recipients import fields, find_page
from relayd.console.api import shapes
from relayd.console.api.answers import Paged, answer, page, place_in
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Selector, query_of
from relayd.console.api.resource import resources
from relayd.mail.ids import MessageId
from relayd.policy.console.roles import Scope

router = resources("recipients")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ, own=True))]


class Params(Selector, Paged):
    pass


@router.get("/recipients", response_model=shapes.Recipients)
async def find(params: Annotated[Params, Query()], caller: _Reader) -> Response:
    """List recipients, the newest message first.

    A page may have fewer rows than `limit` though more follow: `next` says so.
    """
    query = caller.narrowed(query_of(params, caller.now))
    if query is None:
        return answer({"recipients": [], "next": None})
    before = None
    if (place := place_in(caller, params.cursor)) is not None:
        before = (MessageId(int(place[0])), int(place[1]))
    found = await caller.ask(partial(find_page, query=query, limit=params.limit, before=before))
    return page(caller, "recipients", [fields(row) for row in found.rows], found.next)

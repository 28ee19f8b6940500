"""Recipients by any filter, the newest message first."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import Response

from relayd.answers.recipients import fields, find_page
from relayd.console.api.answers import Paged, page, place_in
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Selector, query_of
from relayd.console.api.resource import resources
from relayd.console.api.shapes import messages as shapes
from relayd.mail.ids import MessageId
from relayd.policy.console.roles import Scope

router = resources("recipients")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ, own=True))]


class Params(Selector, Paged):
    pass


@router.get("/recipients", response_model=shapes.Recipients)
async def find(params: Annotated[Params, Query()], caller: _Reader) -> Response:
    """List recipients, the newest message first.

    A page may have fewer rows than `limit` though there are more: `next` and `prev` say so.
    """
    query = caller.narrowed(query_of(params, caller.now))
    if query is None:
        return page(caller, "recipients", [], prev=None, following=None)
    key, is_back = place_in(caller, params.cursor)
    place = None if key is None else (MessageId(int(key[0])), int(key[1]))
    before, back_from = (None, place) if is_back else (place, None)
    found = await caller.ask(
        partial(find_page, query=query, limit=params.limit, before=before, back_from=back_from)
    )
    rows = [fields(row) for row in found.rows]
    return page(caller, "recipients", rows, prev=found.prev, following=found.next)

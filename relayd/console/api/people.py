"""API keys, and the audit: who did what."""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field
from starlette.responses import Response

from relayd.answers.people import audit_fields, key_fields
from relayd.console.api.answers import Paged, answer, page_of_keys, place_in
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Text, instant
from relayd.console.api.resource import resources
from relayd.console.api.shapes import people as shapes
from relayd.console.paging import part_of
from relayd.policy.console.roles import Scope
from relayd.ports.people import AuditEntry, AuditQuery

router = resources("people")
_Admin = Annotated[Caller, Depends(Needs(Scope.ADMIN))]


class Params(Paged):
    by: Annotated[str, Field(max_length=200)] = ""
    action: Annotated[str, Field(max_length=200)] = ""
    target: Annotated[str, Field(max_length=1000)] = ""
    since: Text | None = None
    until: Text | None = None


@router.get("/keys", response_model=shapes.Keys)
async def keys(caller: _Admin) -> Response:
    """List the API keys, without their secrets."""
    found = await caller.ask(lambda view: view.people.keys())
    return answer({"keys": [key_fields(each) for each in found]})


@router.get("/audit", response_model=shapes.Audit)
async def audit(params: Annotated[Params, Query()], caller: _Admin) -> Response:
    """List who did what, the newest first."""
    query = AuditQuery(
        by=params.by,
        action=params.action,
        target=params.target,
        since=instant("since", params.since, caller.now),
        until=instant("until", params.until, caller.now, is_end=True),
    )
    key, is_back = place_in(caller, params.cursor)
    where = {"after" if is_back else "before": None if key is None else int(key[0])}
    found = await caller.ask(lambda view: view.people.audit(query, limit=params.limit + 1, **where))
    part = part_of(found, params.limit, _number, is_first=key is None, is_back=is_back)
    return page_of_keys(caller, "audit", [audit_fields(each) for each in part.rows], part)


def _number(entry: AuditEntry) -> int:
    return entry.number

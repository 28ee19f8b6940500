"""API keys, and the audit: who did what."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field
from starlette.responses import Response

from relayd.answers.people import audit_fields, key_fields
from relayd.console.api import shapes
from relayd.console.api.answers import Paged, answer, page, place_in
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Text, instant
from relayd.console.api.resource import resources
from relayd.policy.console.roles import Scope
from relayd.ports.people import AuditEntry, AuditQuery
from relayd.ports.view import QueueView

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
    place = place_in(caller, params.cursor)
    before = None if place is None else int(place[0])
    found = await caller.ask(partial(_audit, query, params.limit + 1, before))
    shown = found[: params.limit]
    following = [shown[-1].number] if len(found) > params.limit else None
    return page(caller, "audit", [audit_fields(each) for each in shown], following)


def _audit(
    query: AuditQuery, limit: int, before: int | None, view: QueueView
) -> Sequence[AuditEntry]:
    return view.people.audit(query, limit=limit, before=before)

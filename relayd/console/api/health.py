"""How the relay is: a word for everybody, the reasons for who may read; and what doctor found last."""

import asyncio
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs, anybody
from relayd.console.api.problems import Problem
from relayd.console.api.resource import resources
from relayd.console.api.shapes import health as shapes
from relayd.console.asked import Console
from relayd.doctor.saved import as_json, saved
from relayd.errors import StoreError
from relayd.policy.console.roles import Scope, may

router = resources("health")
_Anybody = Annotated[Caller | None, Depends(anybody)]
_Admin = Annotated[Caller, Depends(Needs(Scope.ADMIN))]


@router.get("/health", response_model=shapes.Health, response_model_exclude_unset=True)
async def health(request: Request, caller: _Anybody) -> Response:
    """Tell whether the relay is well; the reasons, where it is not, to keys that may read."""
    console: Console = request.app.state.console
    try:
        found = (await console.glance.overview()).overview
        reasons = [str(notice) for notice in found.notices]
        if found.trouble and not found.notices:
            reasons.append(found.trouble)
    except StoreError as error:
        reasons = [str(error)]
    told: dict[str, object] = {"status": "trouble" if reasons else "ok"}
    if caller is not None and may(caller.key.scopes_for(own=False), Scope.READ):
        told["reasons"] = reasons
    return answer(told)


@router.get("/doctor", response_model=shapes.Doctor)
async def doctor(caller: _Admin) -> Response:
    """Tell what `relayd doctor --save` found last."""
    result = await asyncio.to_thread(saved, caller.console.settings)
    if result is None:
        raise Problem(404, "there is no saved result: relayd doctor --save makes one")
    told = [as_json(each, result.at) for each in result.findings]
    return answer({"ts": result.at, "findings": told})


@router.get("/openapi.json", include_in_schema=False)
async def document(request: Request) -> Response:
    """Give the document of the API; it is the same for everybody."""
    return answer(request.app.openapi())

"""Settings: all of them to be read, and the few that the console may change. The daemon carries a change out."""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from typing import Annotated

from fastapi import Body, Depends
from pydantic import BaseModel, ConfigDict, StrictBool
from starlette.responses import Response

from relayd.config.load import load
from relayd.config.values import RULES, default_of
from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Text
from relayd.console.api.resource import resources
from relayd.console.api.shapes import settings as shapes
from relayd.control import client
from relayd.control.set_keys import set_to_json
from relayd.policy.console.roles import Scope
from relayd.settings import Settings

router = resources("settings")
_Admin = Annotated[Caller, Depends(Needs(Scope.ADMIN))]


class Change(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: StrictBool | Text
    was: StrictBool | Text


@router.get("/settings", response_model=shapes.Settings)
async def show(caller: _Admin) -> Response:
    """List all settings, and which of them PATCH may change."""
    return await _answer(caller)


@router.patch("/settings", response_model=shapes.Settings)
async def change(
    wanted: Annotated[dict[str, Change], Body(min_length=1, max_length=20)], caller: _Admin
) -> Response:
    """Change settings: all that are named, or none. `was` is the value that was seen.

    The daemon runs with them when the answer comes. If it refuses them, or a value is another one by now, the old
    ones stay.
    """
    request = set_to_json({name: (each.to, each.was) for name, each in wanted.items()})
    await caller.change(partial(client.ask, request=request, timeout=client.RELOAD_TIMEOUT))
    return await _answer(caller)


async def _answer(caller: Caller) -> Response:
    file = caller.console.settings.file
    settings = await asyncio.to_thread(load, file, with_secrets=False)
    told = {"settings": list(_rows(settings)), "may_change": sorted(settings.console.may_change)}
    return answer(told)


def _rows(settings: Settings) -> Iterator[dict[str, object]]:
    for name, text in settings.values:
        if not name.startswith(RULES):
            yield {
                "key": name,
                "value": json.loads(text),
                "default": json.loads(default_of(name) or "null"),
                "from": settings.sources.get(name, "default"),
            }

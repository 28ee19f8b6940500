"""Destinations: what waits for each, which are left alone and why, how each did; and the page of one."""

import asyncio
from dataclasses import replace
from functools import partial

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.answers.tally import bounced
from relayd.console.asked import Asked
from relayd.console.destinations import find_one
from relayd.console.filters import read_filters
from relayd.console.pages.messages import newest
from relayd.console.way import way_of
from relayd.policy.delivery.route import route_of

_SHOWN = 100  # destinations
_ROWS = 20  # of what waits


async def show(asked: Asked) -> Response:
    """The page itself."""
    found = await asked.console.glance.destinations()
    rest = len(found.destinations[_SHOWN:])
    found = replace(found, destinations=found.destinations[:_SHOWN], left_out=found.left_out + rest)
    return asked.page("destinations.html", found=found, bounced=bounced)


async def show_one(asked: Asked) -> Response:
    """One destination: how it is reached by the settings of now, what waits for it, how it did."""
    key = asked.request.path_params["key"]
    route = route_of(key)
    if route is None:
        raise HTTPException(
            404,
            f"{key} is no destination: it is smarthost, smarthost:NAME, hold, mx:DOMAIN or host:HOST:PORT",
        )
    settings = await asyncio.to_thread(asked.console.settings_now.read)
    found = await asked.ask(partial(find_one, key, asked.now))
    filters = read_filters(QueryParams({"destination": key, "unfinished": "1"}), asked.now)
    waits = await asked.ask(partial(newest, filters.query))
    return asked.page(
        "destination.html",
        key=key,
        way=way_of(route, settings),
        found=found,
        rows=waits.rows[:_ROWS],
        command=filters.command,
    )

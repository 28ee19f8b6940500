"""Destinations: what waits for each, which are left alone and why, how each did in the last hour."""

from functools import partial

from starlette.responses import Response

from relayd.answers.tally import bounced
from relayd.console.asked import Asked
from relayd.console.destinations import find


async def show(asked: Asked) -> Response:
    """The page itself."""
    found = await asked.ask(partial(find, asked.now))
    return asked.page("destinations.html", found=found, bounced=bounced)

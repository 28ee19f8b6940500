"""The rate of a key: every request that it makes counts, and every answer says what is left of it.

Each console process counts for itself; a restart gives every key a whole minute's worth.
"""

import time

from starlette.requests import Request
from starlette.types import Message, Scope, Send

from relayd.console.api.problems import Problem
from relayd.policy.console.rate import WINDOW, Rates
from relayd.ports.people import ApiKey

_STATE = "rate"  # of a request: headers about the rate of its key


def count(request: Request, key: ApiKey) -> None:
    """Count a request to a key. Raises Problem when its rate is used up."""
    rates: Rates = request.app.state.rates
    limit = key.requests_per_minute
    if not limit:
        return
    taken = rates.take(key.id, limit, now=time.monotonic())
    request.scope["state"][_STATE] = [
        (b"ratelimit-policy", f'"minute";q={taken.limit};w={WINDOW}'.encode()),
        (b"ratelimit", f'"minute";r={taken.left};t={taken.wait}'.encode()),
    ]
    if not taken.is_allowed:
        told = f"the key may make {limit} requests a minute: again in {taken.wait} s"
        raise Problem(429, told, headers={"Retry-After": str(taken.wait)})


def telling(scope: Scope, send: Send) -> Send:
    """Return a `send` that adds to an answer what is left of the rate."""
    state: dict[str, list[tuple[bytes, bytes]]] = scope.setdefault("state", {})

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *state.get(_STATE, ())]
        await send(message)

    return tell

"""What the console counts, for Prometheus: with a key, since the console has no address that is open to all."""

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from relayd.console.api.caller import Caller, Needs
from relayd.console.api.resource import resources
from relayd.metrics.exposition import CONTENT_TYPE, render
from relayd.policy.console.roles import Scope

router = resources("metrics")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ))]


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}},
)
async def metrics(caller: _Reader) -> Response:
    """Tell how many requests the console answered, and how long they took; the daemon has metrics of its own."""
    return Response(render(caller.console.requests.samples()), media_type=CONTENT_TYPE)

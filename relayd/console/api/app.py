"""The API as ASGI has it: checks, the resource that a request is for, and a problem for every failure."""

from contextlib import suppress

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from relayd.console import guard
from relayd.console.api import (
    actions,
    addresses,
    destinations,
    events,
    health,
    messages,
    metrics,
    people,
    queue,
    rates,
    recipients,
    settings,
    stats,
    submissions,
    suppressions,
    webhooks,
)
from relayd.console.api.document import document_of
from relayd.console.api.problems import Problem, answer_to
from relayd.console.asked import Console
from relayd.console.limits import read_body, replayed
from relayd.policy.console.rate import Rates

ROUTERS = (
    submissions.router,
    messages.router,
    recipients.router,
    actions.router,
    addresses.router,
    suppressions.router,
    queue.router,
    destinations.router,
    stats.router,
    events.router,
    people.router,
    settings.router,
    webhooks.router,
    health.router,
    metrics.router,
)


class Api:
    """Takes what is under `/api`; no cookie counts here, and so no page can make a browser ask."""

    def __init__(self, console: Console) -> None:
        self._names = console.settings.console.names
        self._app = make_app()
        self._app.state.console = console
        self._app.state.routes = routes()
        self._app.state.submitting = submissions.Submitting()
        self._app.state.streams = events.Streams()
        self._app.state.rates = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD" and scope["path"] != events.STREAM:
            scope = {**scope, "method": "GET"}  # the server leaves the body out (RFC 9110 §9.3.2)
        request = Request(scope, receive)
        try:
            guard.check_address(request, self._names)
            if scope["path"] != submissions.PATH:  # which asks for a key before it reads that much
                receive = replayed(await read_body(request), receive)
        except HTTPException as refused:
            await (await answer_to(request, refused))(scope, receive, send)
            return
        with suppress(Exception):  # `answer_to` told it already, but FastAPI raises it once more
            await self._app(scope, receive, rates.telling(scope, send))


def make_app() -> FastAPI:
    """Return the resources; `state.console` has to be set before one is asked."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for kind in (Problem, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer_to)
    for router in ROUTERS:
        app.include_router(router)
    document: dict[str, object] = {}

    def openapi() -> dict[str, object]:
        if not document:
            document.update(document_of(app, routes()))
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI has it
    return app


def routes() -> list[APIRoute]:
    """Return all resources of the document."""
    found = [each for router in ROUTERS for each in router.routes if isinstance(each, APIRoute)]
    return [each for each in found if each.include_in_schema]

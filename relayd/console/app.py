"""From a request to an answer: checks, the page that it is for, and a page for every failure.

Invariant: each page is in `routes.PAGES` with the right that it needs, and is reached through here only. So
there is one place that asks who somebody is, and one that writes what went wrong. A failure of ours is logged
with a reference, which is all that its page tells.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import Message, Receive, Scope, Send

from relayd.console import guard
from relayd.console.api.app import Api
from relayd.console.asked import Asked, Console, Page
from relayd.console.forms import read_form
from relayd.console.headers import with_headers
from relayd.console.limits import read_body, replayed
from relayd.console.render import STATIC
from relayd.console.requests import area_of
from relayd.console.static_files import Static
from relayd.console.unforeseen import log_unforeseen
from relayd.errors import DaemonUnreachable, RelaydError, StoreError, TookTooLong


class App:
    """The console as ASGI has it."""

    def __init__(self, console: Console, pages: Sequence[Page]) -> None:
        self._console = console
        self._api = Api(console)
        endpoints = [(page, _Endpoint(console, page)) for page in pages]
        # Most pages have a path of their own, which the router would compare with one after the other.
        self._known = {
            (page.method, page.path): endpoint
            for page, endpoint in endpoints
            if "{" not in page.path
        }
        routes = [Route(page.path, each, methods=[page.method]) for page, each in endpoints]
        self._router = Router(
            [*routes, Mount("/static", Static(STATIC))],
            redirect_slashes=False,
            default=_no_such_page,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        area = area_of(scope["path"])
        send = self._console.requests.counted(area, send)
        send, has_begun = _watched(with_headers(send))
        if area == "api":
            await self._api(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            guard.check(request, self._console.settings.console.names)
            body = b"" if request.method in guard.SAFE else await read_body(request)
            page = self._known.get((request.method, scope["path"]), self._router)
            await page(scope, replayed(body, receive), send)
        except Exception as error:  # noqa: BLE001 -- the one catch-all of this unit of work
            answer = self._failure(request, error)
            if not has_begun():
                await answer(scope, receive, send)

    def _failure(self, request: Request, error: Exception) -> Response:
        """Return the page of what went wrong."""
        reference, headers = "", None
        match error:
            case HTTPException():
                status, sentence, headers = error.status_code, error.detail, error.headers
            case TookTooLong():
                status, sentence = (
                    503,
                    "That takes too long: choose a shorter period, or one more filter.",
                )
            case DaemonUnreachable():
                status, sentence = (
                    503,
                    f"The daemon does not answer, so nothing was changed: {error}",
                )
            case StoreError():
                status, sentence = 503, str(error)
            case RelaydError():
                status, sentence = 409, str(error)
            case _:
                reference = log_unforeseen(request, error)
                status, sentence = 500, "An error of ours; the log has more under the reference."
        return self._console.renderer.page(
            request,
            "error.html",
            request.scope.get("visitor"),
            status=status,
            headers=headers,
            title=HTTPStatus(status).phrase,
            sentence=sentence,
            reference=reference,
        )


class _Endpoint:
    """A page as the router calls it, for those who may see it."""

    def __init__(self, console: Console, page: Page) -> None:
        self._console = console
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        visitor = await self._console.sessions.visitor(request)
        request.scope["visitor"] = visitor
        needed = self._page.needs
        if needed is not None and visitor is None:
            return _to_login(request)
        if visitor is not None and needed is not None and not visitor.may(needed):
            raise HTTPException(403, f"your account does not have the right to {needed}")
        form = FormData()
        try:
            if request.method not in guard.SAFE:
                form = await read_form(request)
                if visitor is not None:
                    guard.check_token(visitor.secret, str(form.get(guard.TOKEN_FIELD, "")))
            asked = Asked(console=self._console, request=request, visitor=visitor, form=form)
            return await self._page.handler(asked)
        finally:
            await form.close()  # with the file that came in it


def _to_login(request: Request) -> Response:
    """Send somebody to the log-in, and after that back; a form is lost by then."""
    if request.method not in guard.SAFE:
        raise HTTPException(401, "you are not logged in, or no longer: nothing was changed")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/login" + ("" if wanted == "/" else f"?next={quote(wanted)}"), 303)


async def _no_such_page(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 -- as ASGI has it
    raise HTTPException(404, "There is no such page.")


def _watched(send: Send) -> tuple[Send, Callable[[], bool]]:
    """Return `send`, and what tells whether an answer has begun."""
    begun: list[bool] = []

    async def watch(message: Message) -> None:
        begun.append(True)
        await send(message)

    return watch, lambda: bool(begun)

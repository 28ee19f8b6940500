"""What a page gets: the request, who asks, and the parts of the console."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlencode

from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import FormData, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from relayd.config.kept import KeptSettings
from relayd.console import guard
from relayd.console.daemon import Daemon
from relayd.console.glance import Glance
from relayd.console.naming import Naming
from relayd.console.proxy import Proxy
from relayd.console.reading import Reading
from relayd.console.render import Renderer
from relayd.console.requests import Requests
from relayd.console.sessions import Sessions
from relayd.console.visitor import Visitor
from relayd.control.behalf import Behalf
from relayd.policy.console.roles import Scope
from relayd.ports.view import QueueView
from relayd.settings import Settings

T = TypeVar("T")


class _Count(Convertor[int]):
    """A number in a path, with no more digits than any of ours: `{number:count}`."""

    regex = "[0-9]{1,15}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("count", _Count())


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The parts that all pages share."""

    settings: Settings  # those that it began with
    settings_now: KeptSettings
    reading: Reading
    daemon: Daemon
    glance: Glance
    renderer: Renderer
    naming: Naming
    sessions: Sessions
    requests: Requests
    proxy: Proxy
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request for a page."""

    console: Console
    request: Request
    visitor: Visitor | None
    form: FormData

    @property
    def who(self) -> Visitor:
        """Who has logged in: pages that need a right are reached by nobody else."""
        assert self.visitor is not None
        return self.visitor

    @property
    def params(self) -> QueryParams:
        return self.request.query_params

    @property
    def now(self) -> datetime:
        return self.console.now()

    @property
    def client(self) -> str:
        """The address that asks; through a proxy's unix socket, the one that the proxy names."""
        return guard.client_of(self.request)

    def text(self, name: str) -> str:
        """Return a field of the form; empty if it is not there."""
        value = self.form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    def texts(self, name: str) -> Sequence[str]:
        return [each for each in self.form.getlist(name) if isinstance(each, str)]

    def number(self, name: str) -> int | None:
        """Return a number of the query string; None if it is none that a row has."""
        given = self.params.get(name, "")
        is_number = given.removeprefix("-").isdecimal() and len(given) < 18
        return int(given) if is_number else None

    def needed(self, name: str, what: str) -> str:
        """Return a field of the form. Raises HTTPException if it is empty."""
        if not (value := self.text(name)):
            raise HTTPException(400, f"{what} is missing")
        return value

    async def ask(self, question: Callable[[QueueView], T]) -> T:
        """Ask the store."""
        return await self.console.reading.ask(question)

    async def change(self, verb: Callable[..., T]) -> T:
        """Have the daemon change something for the account that asks.

        `verb` is a function of `relayd.control.client`, all but the socket and the account given.
        """
        behalf = Behalf(session=self.who.secret, client=self.client)
        return await self.console.daemon.ask(partial(verb, behalf=behalf))

    def page(
        self,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        return self.console.renderer.page(
            self.request, template, self.visitor, status=status, headers=headers, **values
        )

    def see(self, path: str, query: Mapping[str, object] = MappingProxyType({})) -> Response:
        """Send the browser to a page, after a form."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return RedirectResponse(path + (f"?{urlencode(given)}" if given else ""), 303)

    def done(self, path: str, query: QueryParams, what: str, count: int = 1) -> Response:
        """Send the browser to a page that says what was done; see `relayd.console.render.DONE`."""
        given = {**query, "done": what, "count": count}
        return self.see(path, given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A row of the table of pages: who may ask for what."""

    path: str
    handler: Callable[[Asked], Awaitable[Response]]
    needs: Scope | None = Scope.READ  # None: nothing, not even a log-in
    method: str = "GET"

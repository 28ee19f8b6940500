"""Who asks: an API key, what it may ask, and what its questions are narrowed to.

A key is looked up at each request, so what was taken back is gone at once. The daemon judges it once more
wherever it changes something.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from starlette.requests import Request

from relayd.console import guard
from relayd.console.api.problems import Problem
from relayd.console.api.rates import count
from relayd.console.asked import Console
from relayd.control.behalf import Behalf
from relayd.policy.console.keys import is_admitted, is_valid, parse_key
from relayd.policy.console.names import as_key
from relayd.policy.console.roles import Scope, may
from relayd.ports.people import ApiKey, Sees
from relayd.ports.view import Query, QueueView

T = TypeVar("T")
_NOTED_EVERY = timedelta(minutes=1)
_NONE = "send the header Authorization: Bearer rk_…, with a key of relayd console key add"
_BAD = "the API key is unknown, disabled, expired, or not for this network"
_OF_THIS_PROCESS = secrets.token_bytes(32)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A program with a good key, and its request."""

    console: Console
    request: Request
    key: ApiKey
    behalf: Behalf
    seal: bytes = field(repr=False)  # of its cursors; who has the key does not know it

    @property
    def name(self) -> str:
        """How history and audit name it; mail that it submits has this as its login."""
        return as_key(self.key.name)

    @property
    def media_type(self) -> str:
        """Return that of the body, without its parameters, in lower case (RFC 9110 §8.3.1)."""
        given = self.request.headers.get("content-type", "")
        return given.partition(";")[0].strip().lower()

    @property
    def now(self) -> datetime:
        return self.console.now()

    async def ask(self, question: Callable[[QueueView], T]) -> T:
        """Ask the store."""
        return await self.console.reading.ask(question)

    async def change(self, verb: Callable[..., T]) -> T:
        """Have the daemon change something for the key; see `relayd.console.asked.Asked.change`."""
        return await self.console.daemon.ask(partial(verb, behalf=self.behalf))

    def sees(self, login: str | None) -> bool:
        """Whether the key may hear of a message that came with that login."""
        return self.key.sees is Sees.ALL or login == self.name

    def narrowed(self, query: Query) -> Query | None:
        """Return what of a query the key may hear of; None: nothing."""
        return query if self.key.sees is Sees.ALL else query.narrowed_to(self.name)


class Needs:
    """Lets in keys that may do what needs a scope.

    `own`: the resource narrows what it tells, so that a key that sees its own messages only may ask.
    """

    def __init__(self, scope: Scope, *, own: bool = False) -> None:
        self.scope = scope
        self.own = own

    async def __call__(self, request: Request) -> Caller:
        caller = await caller_of(request)
        count(request, caller.key)
        check_scope(caller.key, self.scope, own=self.own)
        refuse_unknown_parameters(request)
        return caller


async def anybody(request: Request) -> Caller | None:
    """Return who asks; None without a key. Raises Problem for a bad one."""
    refuse_unknown_parameters(request)
    if "authorization" not in request.headers:
        return None
    caller = await caller_of(request)
    count(request, caller.key)
    return caller


async def caller_of(request: Request) -> Caller:
    """Return whose key a request has. Raises Problem, StoreError."""
    console: Console = request.app.state.console
    given = request.headers.getlist("authorization")
    scheme, _, secret = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Problem(401, _NONE, headers={"WWW-Authenticate": "Bearer"})
    text, address = parse_key(secret.strip()), guard.client_of(request)
    key, seal = None, b""
    if text is not None:
        key, seal = await console.reading.ask(partial(_look_up, text.id))
    if text is None or key is None or not hmac.compare_digest(text.hash, key.secret_hash):
        raise _bad_key()
    now = console.now()
    if not is_valid(disabled=key.disabled, expires_at=key.expires_at, now=now):
        raise _bad_key()
    if not is_admitted(address, key.networks):
        raise _bad_key()
    behalf = Behalf(key=str(text), client=address)
    if key.last_used_at is None or now - key.last_used_at >= _NOTED_EVERY:
        await console.daemon.note_use("people.touch_key", behalf)
    return Caller(console=console, request=request, key=key, behalf=behalf, seal=seal)


def _look_up(key_id: str, view: QueueView) -> tuple[ApiKey | None, bytes]:
    """Return a key, and what seals its cursors: that of the store, so that cursors outlast a restart."""
    made_of = b"relayd cursors 1\0" + key_id.encode()
    seal = hmac.digest(view.store_secret() or _OF_THIS_PROCESS, made_of, "sha256")
    return view.people.key(key_id), seal


def check_scope(key: ApiKey, scope: Scope, *, own: bool) -> None:
    """Raise Problem unless a key may do what needs a scope."""
    if may(key.scopes_for(own=own), scope):
        return
    if may(key.scopes, scope):
        raise Problem(403, "the key sees its own messages only, and this is about all (--sees all)")
    raise Problem(403, f"the key does not have the scope {scope.value}")


def refuse_unknown_parameters(request: Request) -> None:
    """Raise Problem for a parameter that the resource does not have."""
    path = request.scope["route"].path_format
    operation = request.app.openapi()["paths"][path][request.method.lower()]
    known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    if unknown := sorted(set(request.query_params) - known):
        errors = [{"where": name, "message": "there is no such parameter"} for name in unknown]
        raise Problem(422, f"{unknown[0]}: there is no such parameter", errors=errors)


def _bad_key() -> Problem:
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return Problem(401, _BAD, headers=headers)

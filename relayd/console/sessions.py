"""Who is logged in: the cookie, the log-in with a password or by a proxy's word, its end.

Owns the cookie and the order of checks. The store has the sessions, and the daemon writes them. A name that
does not exist takes as long to refuse as a wrong password.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import Response

from relayd.accounts.passwords import OUR_COST, Unverifiable, check_password, cost_of
from relayd.console import guard
from relayd.console.daemon import Daemon
from relayd.console.proxy import Proxy
from relayd.console.reading import Reading
from relayd.console.visitor import Visitor
from relayd.control import client
from relayd.control.behalf import Behalf
from relayd.control.people import NewSession, open_session_to_json
from relayd.control.protocol import Message
from relayd.policy.console import sessions as rules
from relayd.policy.console.backoff import LoginBackOff
from relayd.ports.people import Account, Session
from relayd.ports.view import QueueView

LIVE = "x-live"  # the header of a page that renews itself: nobody need be there
_THREADS = 2  # that check passwords
_AT_ONCE = 20  # log-ins that wait for one; further ones are refused
_END: Message = {"verb": "people.end_session"}
_WITHIN = 10.0  # seconds for an answer of the daemon to somebody who logs in or out
_log = structlog.get_logger(__name__)


class NotLoggedIn(Exception):
    """Somebody was not let in; the text says why, for people."""


class Sessions:
    """Accounts that are logged in."""

    def __init__(
        self, *, reading: Reading, daemon: Daemon, proxy: Proxy, now: Callable[[], datetime]
    ) -> None:
        self._reading = reading
        self._daemon = daemon
        self._proxy = proxy
        self._now = now
        self._back_off = LoginBackOff(secrets.token_bytes(32))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")
        self._places = asyncio.Semaphore(_THREADS)
        self._waiting = 0

    def close(self) -> None:
        self._threads.shutdown()

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who asks; None if nobody is logged in, or no longer. Raises StoreError."""
        token = request.cookies.get(_cookie_of(request), "")
        token_hash = rules.hash_of(token)
        if token_hash is None:
            return None
        found = await self._reading.ask(partial(_look_up, token_hash))
        if found is None or found[1].disabled:
            return None
        session, account = found
        now = self._now()
        if rules.judge(session.begun_at, session.seen_at, now=now) is not rules.Verdict.VALID:
            return None
        if self._proxy.name_of(request) not in (None, account.name):
            return None  # somebody else is before the same browser
        is_used = LIVE not in request.headers
        if is_used and rules.needs_touch(session.seen_at, now=now):
            behalf = Behalf(session=token, client=guard.client_of(request))
            await self._daemon.note_use("people.touch_session", behalf)
        return Visitor(
            name=account.name,
            role=account.role,
            reads_content=account.reads_content,
            secret=token,
        )

    async def log_in(self, name: str, password: str, address: str) -> str:
        """Return the token of a new session. Raises NotLoggedIn, StoreError, DaemonUnreachable."""
        await self.check(name, password, address)
        token = await self._open(name, address)
        self._back_off.succeeded(name, address, now=asyncio.get_running_loop().time())
        return token

    async def let_in(self, name: str, address: str) -> str:
        """Return the token of a new session of an account that the proxy names. Raises as `log_in`."""
        try:
            return await self._open(name, address, by_proxy=True)
        except NotLoggedIn as refused:
            _log.warning("console_login_failed", account=name, client_ip=address)
            raise NotLoggedIn(
                f"The proxy says that you are {name}: there is no such account here, or it is disabled."
            ) from refused

    async def _open(self, name: str, address: str, *, by_proxy: bool = False) -> str:
        token, token_hash = new_token()
        session = NewSession(account=name, token_hash=token_hash, client=address, by_proxy=by_proxy)
        if not await self._asked(open_session_to_json(session)):
            raise NotLoggedIn("Name or password is wrong.")
        return token

    async def check(self, name: str, password: str, address: str) -> None:
        """Return if a password is right. Raises NotLoggedIn, also after too many that were wrong; StoreError."""
        self._heed_failures(name, address)
        account = await self._reading.ask(lambda view: view.people.account(name))
        async with self._place():
            self._heed_failures(name, address)  # of those who came at the same time
            if await self._is_right(password, account):
                return
            now = asyncio.get_running_loop().time()
            self._back_off.failed(name, address, now=now)
        _log.warning("console_login_failed", account=name[:64], client_ip=address)
        raise NotLoggedIn("Name or password is wrong.")

    async def log_out(self, visitor: Visitor, address: str) -> None:
        """End the session. Raises DaemonUnreachable."""
        await self._asked(_END, Behalf(session=visitor.secret, client=address))

    def set_cookie(self, answer: Response, request: Request, token: str) -> None:
        """Give the browser a token that no script and no other site can use."""
        answer.set_cookie(
            _cookie_of(request),
            token,
            path="/",
            secure=not guard.is_plain(request),
            httponly=True,
            samesite="strict",
        )

    def delete_cookie(self, answer: Response, request: Request) -> None:
        is_secure = not guard.is_plain(request)
        answer.delete_cookie(_cookie_of(request), path="/", secure=is_secure, httponly=True)

    def _heed_failures(self, name: str, address: str) -> None:
        """Raise NotLoggedIn while somebody has to wait for what failed before."""
        now = asyncio.get_running_loop().time()
        if wait := self._back_off.wait(name, address, now=now):
            raise NotLoggedIn(f"Too many attempts: try again in {int(wait) + 1} s.")

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a thread that checks passwords. Raises NotLoggedIn when too many do."""
        if self._waiting >= _AT_ONCE:
            raise NotLoggedIn("Too many log in just now: try again in a moment.")
        self._waiting += 1
        try:
            async with self._places:
                yield
        finally:
            self._waiting -= 1

    async def _is_right(self, password: str, account: Account | None) -> bool:
        """Check a password, in the time that each check takes. Raises NotLoggedIn if that cannot be done."""
        hashed = account.password_hash if account is not None and not account.disabled else ""
        costs = {OUR_COST, cost_of(hashed)} if hashed else {OUR_COST}
        check = partial(check_password, password, hashed or None, costs)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, check)
        except Unverifiable as broken:
            raise NotLoggedIn("Passwords cannot be checked now: try again.") from broken

    async def _asked(self, request: Message, behalf: Behalf | None = None) -> bool:
        """Ask the daemon; return whether that changed something. Raises RelaydError."""
        question = partial(client.ask, request=request, behalf=behalf, timeout=_WITHIN)
        return (await self._daemon.ask(question)).get("done") is True


def new_token() -> tuple[str, bytes]:
    """Return the token of a session that is about to begin, and what is stored of it."""
    token = rules.make_token(secrets.token_bytes(rules.TOKEN_OCTETS))
    token_hash = rules.hash_of(token)
    assert token_hash is not None
    return token, token_hash


def _cookie_of(request: Request) -> str:
    """The name of the cookie: browsers keep `__Host-` ones for this host, and send them by TLS only."""
    return "relayd" if guard.is_plain(request) else "__Host-relayd"


def _look_up(token_hash: bytes, view: QueueView) -> tuple[Session, Account] | None:
    people = view.people
    session = people.session(token_hash)
    account = None if session is None else people.account(session.account)
    return None if session is None or account is None else (session, account)

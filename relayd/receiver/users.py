"""The users file as it is now, and checking a login against it.

The file is looked at again when a login comes and the last look was a while ago; one that is broken
leaves the accounts in use. A check takes its time in a thread of its own, a few at once; who is right
is remembered for minutes, by a keyed digest. A wrong name costs what a wrong password costs (A-32).
Nothing here keeps, logs or shows a password (A-33).
"""

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import structlog

from relayd.accounts.passwords import OUR_COST, Unverifiable, check_password, cost_of
from relayd.accounts.users_file import read_users
from relayd.errors import Shortage, UsersError, is_shortage
from relayd.mail.account import Account
from relayd.mail.reply import Reply
from relayd.policy.intake.known_sources import KnownSources
from relayd.policy.intake.login import BackOff, Try
from relayd.policy.intake.login_source import Source, source_of
from relayd.policy.intake.origin import Origin
from relayd.policy.seldom import Seldom
from relayd.ports.outward import Clock
from relayd.receiver.login_log import LoginLog
from relayd.receiver.login_turns import AT_ONCE, LoginTurns
from relayd.receiver.sasl import Credentials

WRONG = Reply(535, "5.7.8", ("5.7.8 Authentication credentials invalid",))
TROUBLE = Reply(454, "4.7.0", ("4.7.0 Temporary authentication failure, try again later",))
TOO_OFTEN = Reply(454, "4.7.0", ("4.7.0 Too many failed logins, try again later",))

_LOOK_AGAIN = 1.0  # seconds
_KEPT_FOR = 300.0  # seconds that a good login is remembered
_MOST_KEPT = 10_000

log = structlog.get_logger()


class Users:
    """The accounts of a worker. `close` it."""

    def __init__(self, path: str, clock: Clock, known: KnownSources) -> None:
        """Read the file. `known` is what all workers know. Raises UsersError."""
        self._path = Path(path)
        self._clock = clock
        self._seen: tuple[int, ...] = ()
        self._seen = self._stamp()
        self._take(read_users(self._path))
        self._looked_at = clock.monotonic()
        self._key = secrets.token_bytes(32)
        self._back_off = BackOff(self._key, known)
        self._turns = LoginTurns()
        self._log = LoginLog()
        self._trouble = Seldom()
        self._good: dict[bytes, float] = {}  # digest of a good login -> when, the oldest first
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="login")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def find(self, name: str) -> Account | None:
        """Return the account as it is now."""
        self._look()
        return self._accounts.get(name)

    async def check(self, given: Credentials, origin: Origin) -> Account | Reply:
        """Return the account that is now logged in to, or what refuses the login."""
        source = source_of(origin)
        result = self._answer_at_once(given, source)
        if result is None:
            tried = self._try_of(given, source)
            rank = self._back_off.rank(tried, now=self._clock.monotonic())
            try:
                async with self._turns.turn(rank, source.site):
                    result = self._answer_at_once(given, source)
                    if result is None:
                        result = await self._verify(given, source)
            except Unverifiable as error:
                self._log.not_checked(str(error), now=self._clock.monotonic())
                return TROUBLE
        now = self._clock.monotonic()
        if result is TOO_OFTEN:
            self._log.put_off(given.user, origin.ip, now=now)
        elif result is WRONG:
            self._log.failed(given.user, origin.ip, now=now)
        return result

    def _answer_at_once(self, given: Credentials, source: Source) -> Account | Reply | None:
        """Answer what needs no check: it comes too soon, or was right lately; None: it needs one."""
        now = self._clock.monotonic()
        tried = self._try_of(given, source)
        if self._back_off.wait(tried, now=now):
            return TOO_OFTEN
        account = self._account_of(given)
        if account is None or now - self._good.get(self._digest(given, account), -inf) >= _KEPT_FOR:
            return None
        self._back_off.succeeded(tried, now=now)
        return account

    async def _verify(self, given: Credentials, source: Source) -> Account | Reply:
        """Check the password, which takes its time. Raises Unverifiable."""
        account, tried = self._account_of(given), self._try_of(given, source)
        is_right = await self._begin(given.password, None if account is None else account.hash)
        now = self._clock.monotonic()
        if account is None or not is_right:
            self._back_off.failed(tried, now=now)
            return WRONG
        self._back_off.succeeded(tried, now=now)
        self._remember(self._digest(given, account), now)
        return account

    def _begin(self, password: str, hashed: str | None) -> "asyncio.Future[bool]":
        loop = asyncio.get_running_loop()
        try:
            return loop.run_in_executor(
                self._threads, check_password, password, hashed, self._costs
            )
        except RuntimeError as error:  # the system gives us no thread
            raise Unverifiable(str(error)) from error

    def _account_of(self, given: Credentials) -> Account | None:
        """Return whose password to check; nobody acts as another, so that is nobody's."""
        account = self.find(given.user)
        return account if given.acts_as in ("", given.user) else None

    def _try_of(self, given: Credentials, source: Source) -> Try:
        """An account that has changed is another one: what was wrong may be right now."""
        account = self.find(given.user)
        version = "" if account is None else account.hash
        return Try(user=given.user, version=version, source=source)

    def _remember(self, digest: bytes, now: float) -> None:
        self._good.pop(digest, None)
        self._good[digest] = now
        if len(self._good) > _MOST_KEPT:
            del self._good[next(iter(self._good))]

    def _digest(self, given: Credentials, account: Account) -> bytes:
        """Name a login: the user, the password, and the hash that it is right for."""
        text = f"{given.user}\0{given.password}\0{account.hash}"
        return hmac.digest(self._key, text.encode(), "sha256")

    def _look(self) -> None:
        """Read the file again if it has changed."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_AGAIN:
            return
        self._looked_at = now
        stamp = self._stamp()
        if stamp == self._seen:
            return
        before, self._seen = self._seen, stamp  # a broken file is told of once
        try:
            self._take(read_users(self._path))
        except Shortage as error:
            self._seen = before  # it is not known to be broken
            if self._trouble.is_due(now):
                log.warning("users_kept", fault="local", reason=str(error))
        except UsersError as error:
            log.warning("users_kept", fault="local", reason=str(error))
        else:
            self._good.clear()
            log.info("users_loaded", users=len(self._accounts))

    def _take(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._costs = sorted({cost_of(each.hash) for each in accounts.values()} or {OUR_COST})

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError as error:
            return self._seen if is_shortage(error) else ()
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

"""The users file as it is now, and checking a login against it.

The file is looked at again when a login comes and the last look was a while ago; one that is broken
leaves the accounts in use. A check takes its time in a thread of its own, a few at once and the same
one only once; who is right is remembered for minutes, by a keyed digest. A wrong name costs what a
wrong password costs (A-32). Nothing here keeps, logs or shows a password (A-33).
"""

import asyncio
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from relayd.errors import Shortage, UsersError, is_shortage
from relayd.mail.account import Account
from relayd.mail.reply import Reply
from relayd.policy.dsn.lines import clean_line
from relayd.policy.login import BackOff
from relayd.policy.seldom import Seldom
from relayd.ports.outward import Clock
from relayd.receiver.passwords import NOBODY, Unverifiable, is_password
from relayd.receiver.sasl import Credentials
from relayd.receiver.users_file import read_users

WRONG = Reply(535, "5.7.8", ("5.7.8 Authentication credentials invalid",))
TROUBLE = Reply(454, "4.7.0", ("4.7.0 Temporary authentication failure, try again later",))
TOO_OFTEN = Reply(454, "4.7.0", ("4.7.0 Too many failed logins, try again later",))

_LOOK_AGAIN = 1.0  # seconds
_KEPT_FOR = 300.0  # seconds that a good login is remembered
_MOST_KEPT = 10_000
_AT_ONCE = 2  # checks; each is busy on one core and has its memory
_WAITING = 64  # checks beyond which logins are put off
_SHOWN = 64  # characters of a name

log = structlog.get_logger()


class Users:
    """The accounts of a worker. `close` it."""

    def __init__(self, path: str, clock: Clock) -> None:
        """Read the file. Raises UsersError."""
        self._path = Path(path)
        self._clock = clock
        self._seen: tuple[int, ...] = ()
        self._seen = self._stamp()
        self._accounts = read_users(self._path)
        self._looked_at = clock.monotonic()
        self._back_off = BackOff()
        self._trouble = Seldom()
        self._key = secrets.token_bytes(32)
        self._good: dict[bytes, float] = {}  # digest of a good login -> when, the oldest first
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="login")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def find(self, name: str) -> Account | None:
        """Return the account as it is now."""
        self._look()
        return self._accounts.get(name)

    async def check(self, given: Credentials, client_ip: str) -> Account | Reply:
        """Return the account that is now logged in to, or what refuses the login."""
        now, user = self._clock.monotonic(), given.user
        account = self.find(user)
        if self._back_off.wait(user, client_ip, now=now):
            _note(user, client_ip, "too many failed logins before")
            return TOO_OFTEN
        try:
            is_right = await self._is_right(given, account, now)
        except Unverifiable as error:
            log.warning("login_not_checked", fault="local", reason=str(error))
            return TROUBLE
        if account is not None and is_right and given.acts_as in ("", user):
            self._back_off.succeeded(user, client_ip, now=now)
            return account
        self._back_off.failed(user, client_ip, now=self._clock.monotonic())
        _note(user, client_ip, "wrong name or password")
        return WRONG

    async def _is_right(self, given: Credentials, account: Account | None, now: float) -> bool:
        """Check the password, unless that was done lately, or is being done. Raises Unverifiable."""
        hashed = self._hash_of_nobody() if account is None else account.hash
        digest = self._digest(given, hashed)
        if now - self._good.get(digest, float("-inf")) < _KEPT_FOR:
            return True
        check = self._running.get(digest)
        if check is None:
            if len(self._running) >= _WAITING:
                raise Unverifiable("too many logins at once")
            check = self._begin(digest, given.password, hashed)
        is_right = await asyncio.shield(check)
        if is_right and account is not None:
            self._good.pop(digest, None)
            self._good[digest] = now
            if len(self._good) > _MOST_KEPT:
                del self._good[next(iter(self._good))]
        return is_right

    def _begin(self, digest: bytes, password: str, hashed: str) -> "asyncio.Future[bool]":
        loop = asyncio.get_running_loop()
        try:
            check = loop.run_in_executor(self._threads, is_password, password, hashed)
        except RuntimeError as error:  # the system gives us no thread
            raise Unverifiable(str(error)) from error
        self._running[digest] = check
        check.add_done_callback(lambda _: self._running.pop(digest, None))
        return check

    def _hash_of_nobody(self) -> str:
        """Return a hash that costs what the others cost."""
        return next((account.hash for account in self._accounts.values()), NOBODY)

    def _digest(self, given: Credentials, hashed: str) -> bytes:
        """Name a login: the user, the password, and the hash that it is right for."""
        text = f"{given.user}\0{given.password}\0{hashed}"
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
            self._accounts = read_users(self._path)
        except Shortage as error:
            self._seen = before  # it is not known to be broken
            if self._trouble.is_due(now):
                log.warning("users_kept", fault="local", reason=str(error))
        except UsersError as error:
            log.warning("users_kept", fault="local", reason=str(error))
        else:
            self._good.clear()
            self._back_off.forgive()
            log.info("users_loaded", users=len(self._accounts))

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError as error:
            return self._seen if is_shortage(error) else ()
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _note(user: str, client_ip: str, reason: str) -> None:
    name = clean_line(user, utf8=False)[:_SHOWN]
    log.warning("login_failed", fault="peer", client_ip=client_ip, auth_user=name, reason=reason)

"""Check the passwords of console accounts, and slow down who guesses them.

The worker checks them, not the console: so a console that was taken over has to know a password as anybody
has to. Owns the order of checks and how many there are at once. Whether and for how long somebody waits is for
`relayd.policy.console.backoff`, whose counts all workers share.

Invariants: an unknown name, a disabled account and one without a password cost what a wrong password costs.
No password is kept, logged or shown.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import structlog

from relayd.accounts.passwords import (
    OUR_COST,
    Unverifiable,
    check_password,
    cost_of,
    hash_password,
)
from relayd.control.people import PASSWORD_LIMIT
from relayd.mail.text import blanked
from relayd.policy.console.backoff import LoginBackOff
from relayd.policy.console.names import is_name
from relayd.ports.people import Account, People

WRONG = "Name or password is wrong."
_AT_ONCE = 2  # checks; each is busy on one core, and has 19 MiB
_PLACES = (
    8  # checks that wait, or are made: fewer than changes may be in hand, so others are carried out
)
_BUSY = "Too many log in just now: try again in a moment."

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class LogInRefused(Exception):
    """A password does not let somebody in; the text says why, for people."""


class LogIns:
    """The checks of one worker. `close` it."""

    def __init__(self, back_off: LoginBackOff, monotonic: Callable[[], float]) -> None:
        self._back_off = back_off
        self._monotonic = monotonic
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="console log-in")
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._taken = 0  # of the places

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def check(self, name: str, password: str, client: str, people: People) -> Account:
        """Return the account whose name and password these are. Raises LogInRefused, StoreUnavailable.

        `client` is the address that asks, as the console has it.
        """
        self._heed_failures(name, client)
        async with self._place():
            self._heed_failures(name, client)  # of those who came at the same time
            if _is_hostile(name, password):
                account = None
            else:
                account = await self._owner(name, password, await people.find_accounts())
            now = self._monotonic()
            if account is not None:
                self._back_off.succeeded(name, client, now=now)
                return account
            self._back_off.failed(name, client, now=now)
        _log.warning("console_login_failed", account=blanked(name[:64]), client_ip=client)
        raise LogInRefused(WRONG)

    async def hash(self, password: str) -> str:
        """Return the hash of a new password. Raises LogInRefused."""
        async with self._place():
            return await self._run(partial(hash_password, password))

    async def _owner(self, name: str, password: str, accounts: Sequence[Account]) -> Account | None:
        """Return whose name and password that is; it takes as long for one name as for another."""
        by_name = {each.name: each for each in accounts if each.password_hash and not each.disabled}
        account = by_name.get(name)
        hashed = None if account is None else account.password_hash
        costs = {cost_of(each.password_hash) for each in by_name.values()} or {OUR_COST}
        is_right = await self._run(partial(check_password, password, hashed, sorted(costs)))
        return account if is_right else None

    async def _run(self, check: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, check)
        except (Unverifiable, RuntimeError) as broken:  # no memory, or no thread
            raise LogInRefused("Passwords cannot be checked now: try again.") from broken

    def _heed_failures(self, name: str, client: str) -> None:
        """Raise LogInRefused while somebody has to wait for what failed before."""
        if wait := self._back_off.wait(name, client, now=self._monotonic()):
            raise LogInRefused(f"Too many attempts: try again in {int(wait) + 1} s.")

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a turn at a thread. Raises LogInRefused when too many do."""
        if self._taken >= _PLACES:
            raise LogInRefused(_BUSY)
        self._taken += 1
        try:
            async with self._turns:
                yield
        finally:
            self._taken -= 1


def _is_hostile(name: str, password: str) -> bool:
    """Tell what no account can have: no thread is busy with it."""
    return not is_name(name) or len(password.encode()) > PASSWORD_LIMIT

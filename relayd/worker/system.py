"""What a worker has of the machine: its clock, and the network as `relayd.net` serves it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakSet

from relayd.deliverer.nexthop.hosts import NotYet
from relayd.errors import Shortage, is_shortage
from relayd.mail.attempt import Breakdown
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Fault
from relayd.net.oauth2.tokens import TokenRefused, Tokens, TokenServerDown, as_failure
from relayd.net.smtp import client
from relayd.policy.oauth2.grants import OAuth2Settings
from relayd.ports.outward import Clock, Connection, SessionFailed, Target
from relayd.secret_files import SecretError, read_secret
from relayd.settings import Login


class SystemClock:
    """`relayd.ports.outward.Clock` on the machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 -- this is Clock

    def monotonic(self) -> float:
        return time.monotonic()


class SmtpTransport:
    """`relayd.ports.outward.Transport` over `relayd.net`."""

    def __init__(self, *, helo: str, clock: Clock) -> None:
        self._helo = helo
        self._clock = clock
        self._timers = client.Timers()
        self._tls = client.TlsContexts()
        self._tokens = Tokens(clock=clock)
        self._made: WeakSet[client.Connection] = WeakSet()

    @property
    def connections(self) -> int:
        """How many are open."""
        return sum(each.is_open for each in self._made)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return await client.resolve(host, port)

    async def connect(self, target: Target) -> Connection:
        login = target.login
        if login is not None and login.oauth2 is not None:
            return await self._connect_by_token(target, login, login.oauth2)
        if login is not None and login.file:
            target = replace(target, login=await _fresh(login))
        return await self._connect(target)

    async def _connect_by_token(
        self, target: Target, login: Login, oauth2: OAuth2Settings
    ) -> Connection:
        """Log in by the token of now, and by a new one if that is refused: somebody may have revoked it."""
        token = await self._token(oauth2)
        try:
            return await self._connect(replace(target, login=replace(login, secret=token)))
        except SessionFailed as failed:
            if not failed.login_refused or failed.reply is None:
                raise
            renewed = await self._token(oauth2, instead_of=token)
            if renewed == token:
                raise
        return await self._connect(replace(target, login=replace(login, secret=renewed)))

    async def _token(self, oauth2: OAuth2Settings, *, instead_of: str = "") -> str:
        """Return a token. Raises SessionFailed as for a refused login; NotYet: no mail counts as tried; Shortage."""
        try:
            return await self._tokens.token(oauth2, instead_of=instead_of)
        except TokenRefused as refused:
            raise as_failure(refused) from None
        except TokenServerDown as down:
            raise NotYet(down.until, str(down)) from None

    async def _connect(self, target: Target) -> Connection:
        connection = await client.connect(
            target,
            helo=target.helo or self._helo,
            timers=self._timers,
            tls=self._tls,
            clock=self._clock,
        )
        self._made.add(connection)
        return connection


async def _fresh(login: Login) -> Login:
    """Return the login with the secret as its file has it now: tokens live for an hour (S-53).

    Raises SessionFailed: without its secret the smarthost cannot be used, and no mail is to blame;
    Shortage where this machine has nothing left to open the file with.
    """
    try:
        secret, _ = await asyncio.to_thread(read_secret, Path(login.file))
    except SecretError as error:
        if isinstance(error.__context__, OSError) and is_shortage(error.__context__):
            raise Shortage(f"our password or token cannot be read now: {error}") from error
        reason = f"the file with our password or token: {error}"
        ended_by = Breakdown(category=Category.RELAY_DENIED, fault=Fault.LOCAL, reason=reason)
        raise SessionFailed(Stage.AUTH, ended_by) from error
    return replace(login, secret=secret)

"""The access token of now: read from a file that all workers share, and renewed before it ends.

The worker that finds it old asks for another one, alone: the others wait for the file. A server that is down is left alone for a
while; nobody waits for it meanwhile.

Invariant: a refresh token that the server gave in the place of another one is on disk before the access token that came
with it is used. A token is in no log, and in the text of no error.
"""

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from relayd.errors import RelaydError
from relayd.file_access import unwritable
from relayd.mail.attempt import Breakdown
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Fault
from relayd.net.https import verifying
from relayd.net.oauth2 import kept as files
from relayd.net.oauth2.grant import ask
from relayd.net.oauth2.kept import Kept
from relayd.policy.delivery.retry import pause_after
from relayd.policy.oauth2.answers import Down, Granted, Refused
from relayd.policy.oauth2.grants import Flow, OAuth2Settings
from relayd.ports.outward import Clock, SessionFailed

_TURN = 30.0  # seconds that another worker may take to ask
_YOUNG = 60.0  # seconds: a token that was refused at that age is not to blame

log = structlog.get_logger(__name__)


class TokenRefused(RelaydError):
    """The token server refuses us, or our secret cannot be read: somebody has to fix that."""


class TokenServerDown(RelaydError):
    """There is no token for now; nothing is wrong with the settings."""

    def __init__(self, until: datetime, reason: str) -> None:
        self.until = until  # it is asked again
        super().__init__(reason)


def as_failure(error: TokenRefused | TokenServerDown) -> SessionFailed:
    """Return what it means for a session: a refused login, or a server that is out of reach."""
    is_refusal = isinstance(error, TokenRefused)
    ended_by = Breakdown(
        category=Category.RELAY_DENIED if is_refusal else Category.CONNECTION_FAILURE,
        fault=Fault.LOCAL if is_refusal else Fault.PEER,
        reason=str(error),
    )
    return SessionFailed(Stage.AUTH, ended_by)


@dataclass(slots=True, kw_only=True)
class _Account:
    """What one process knows of one smarthost's token."""

    lock: asyncio.Lock
    kept: Kept | None = None  # counts where the file cannot be written
    refresh_token: str = ""  # the same
    failures: int = 0
    down_until: datetime | None = None
    reason: str = ""


class Tokens:
    """The tokens of all smarthosts, for one process."""

    def __init__(self, *, clock: Clock, jitter: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._jitter = jitter
        self._accounts: dict[str, _Account] = {}
        self._tls: ssl.SSLContext | None = None

    async def token(self, settings: OAuth2Settings, *, instead_of: str = "") -> str:
        """Return a token that is good for a while; another one than `instead_of`, unless that is very young.

        Raises TokenRefused, TokenServerDown, Shortage.
        """
        account = self._account(settings)
        if found := await self._found(settings, account, instead_of):
            return found
        self._leave_alone(account)
        renewing = asyncio.ensure_future(self._renewed(settings, account, instead_of))
        renewing.add_done_callback(_is_seen)
        # Those who ask may give up; what the server gives has to be kept all the same.
        return await asyncio.shield(renewing)

    async def _renewed(self, settings: OAuth2Settings, account: _Account, instead_of: str) -> str:
        async with account.lock, self._alone(settings, account):
            if found := await self._found(settings, account, instead_of):
                return found
            self._leave_alone(account)
            return await self._renew(settings, account)

    def _account(self, settings: OAuth2Settings) -> _Account:
        if settings.state not in self._accounts:
            self._accounts[settings.state] = _Account(lock=asyncio.Lock())
        return self._accounts[settings.state]

    async def _found(self, settings: OAuth2Settings, account: _Account, instead_of: str) -> str:
        """Return the token that is kept, if it will do; else nothing."""
        now = self._clock.now().timestamp()
        in_file = await asyncio.to_thread(files.read_token, settings.token_file)
        for kept in (in_file, account.kept):
            if kept is None or kept.of != _identity(settings) or not kept.is_fresh(now):
                continue
            is_young = now - (kept.ends_at - kept.lived_for) < _YOUNG
            if kept.token != instead_of or is_young:
                return kept.token
        return ""

    def _leave_alone(self, account: _Account) -> None:
        if account.down_until is not None and self._clock.now() < account.down_until:
            raise TokenServerDown(account.down_until, account.reason)

    @asynccontextmanager
    async def _alone(self, settings: OAuth2Settings, account: _Account) -> AsyncIterator[None]:
        """Have the turn to ask. A disk that takes no lock does not keep the mail back."""
        try:
            turn = files.alone(settings.token_file, within=_TURN)
            await turn.__aenter__()
        except TimeoutError:
            raise self._is_down(
                settings, account, "another worker has been asking for long"
            ) from None
        except OSError:
            yield
            return
        try:
            yield
        finally:
            await turn.__aexit__(None, None, None)

    async def _renew(self, settings: OAuth2Settings, account: _Account) -> str:
        self._tls = self._tls or verifying()
        now = int(self._clock.now().timestamp())
        match await ask(settings, tls=self._tls, now=now, refresh_token=account.refresh_token):
            case Granted() as granted:
                account.failures, account.down_until = 0, None
                await self._keep(settings, account, granted)
                seconds = int(granted.lives_for.total_seconds())
                log.info("token_renewed", smarthost=settings.name, lives_for=seconds)
                return granted.access_token
            case Refused(reason=reason):
                raise TokenRefused(reason)
            case Down(reason=reason):
                raise self._is_down(settings, account, reason)

    async def _keep(self, settings: OAuth2Settings, account: _Account, granted: Granted) -> None:
        """Write what we got, the refresh token first; what cannot be written counts in this process alone."""
        account.kept = _kept(settings, granted, self._clock)
        if settings.flow is Flow.REFRESH_TOKEN and granted.refresh_token:
            account.refresh_token = granted.refresh_token
        try:
            if account.refresh_token:
                write = files.write_refresh_token
                await asyncio.to_thread(write, settings.refresh_file, account.refresh_token)
                account.refresh_token = ""
            await asyncio.to_thread(files.write_token, settings.token_file, account.kept)
            account.kept = None
        except OSError as error:
            reason = error.strerror or "unknown"
            log.warning("token_not_kept", smarthost=settings.name, fault="local", reason=reason)

    def _is_down(self, settings: OAuth2Settings, account: _Account, reason: str) -> TokenServerDown:
        account.failures += 1
        pause: timedelta = pause_after(account.failures, jitter=self._jitter())
        account.down_until, account.reason = self._clock.now() + pause, reason
        log.warning(
            "token_server_down",
            smarthost=settings.name,
            fault="peer",
            reason=reason,
            asked_again_at=account.down_until.isoformat(timespec="seconds"),
        )
        return TokenServerDown(account.down_until, reason)


async def keep_sign_in(
    settings: OAuth2Settings, granted: Granted, refresh_token: str, *, clock: Clock
) -> None:
    """Keep what somebody's sign-in gave, for the workers that wait for it. Raises RelaydError."""
    try:
        async with files.alone(settings.token_file, within=_TURN):
            await asyncio.to_thread(files.write_refresh_token, settings.refresh_file, refresh_token)
            kept = _kept(settings, granted, clock)
            await asyncio.to_thread(files.write_token, settings.token_file, kept)
            await asyncio.to_thread(files.note_sign_in, settings.sign_in_file)
    except OSError as error:
        folder = Path(settings.state).parent
        raise RelaydError(f"the token cannot be kept: {unwritable(error, folder)}") from error


def _kept(settings: OAuth2Settings, granted: Granted, clock: Clock) -> Kept:
    lives_for = granted.lives_for.total_seconds()
    return Kept(
        token=granted.access_token,
        ends_at=clock.now().timestamp() + lives_for,
        lived_for=lives_for,
        of=_identity(settings),
    )


def _is_seen(renewing: "asyncio.Future[str]") -> None:
    """Look at how it ended, which nobody else may do any more."""
    if not renewing.cancelled():
        renewing.exception()


def _identity(settings: OAuth2Settings) -> str:
    """Return what a token is for, so that changed settings get one of their own."""
    told = (settings.flow, settings.token_url, settings.client_id, settings.scope, settings.user)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()

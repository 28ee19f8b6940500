"""Asking a token server, by the flow that the settings name.

Owns which secrets are read for it: each time, so that a new one counts at once. It keeps nothing, and decides nothing.
"""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never
from urllib.parse import quote_plus

from relayd.errors import Shortage, is_shortage
from relayd.net.https import Unanswered, post
from relayd.net.oauth2.signing import KeyUnfit, read_account, signed
from relayd.policy.oauth2 import grants
from relayd.policy.oauth2.answers import Down, Granted, Refused, judge
from relayd.policy.oauth2.grants import Flow, OAuth2Settings
from relayd.policy.oauth2.refusals import REMEDIES, Wrong
from relayd.secret_files import NoSecretFile, SecretError, read_private, read_secret

_KEY_LIMIT = 64 * 1024


async def ask(
    settings: OAuth2Settings, *, tls: ssl.SSLContext, now: int, refresh_token: str = ""
) -> Granted | Refused | Down:
    """Return a new token, or why there is none. `now` is in seconds since 1970; `refresh_token` counts before the file's.

    Raises Shortage where this machine has nothing left to read a file with.
    """
    try:
        form = await asyncio.to_thread(_form, settings, now, refresh_token)
    except (SecretError, KeyUnfit, OSError) as error:
        lack = error if isinstance(error, OSError) else error.__context__
        if isinstance(lack, OSError) and is_shortage(lack):
            raise Shortage(f"our secret cannot be read now: {error}") from error
        return _unreadable(settings, error)
    try:
        answer = await post(settings.token_url, form, tls=tls)
    except Unanswered as silent:
        return Down(reason=f"the token server {silent}")
    return judge(answer, secrets_in(form))


def secrets_in(form: dict[str, str]) -> Sequence[str]:
    """Return what of a form nobody may read, as it is and as it is sent."""
    names = ("client_secret", "refresh_token", "assertion", "device_code")
    found = [form[name] for name in names if name in form]
    return [*found, *map(quote_plus, found)]


def secret_of(settings: OAuth2Settings) -> str:
    """Return the client secret as its file has it now; empty for a public client. Raises SecretError."""
    return read_secret(Path(settings.secret_file))[0] if settings.secret_file else ""


def _form(settings: OAuth2Settings, now: int, refresh_token: str) -> dict[str, str]:
    match settings.flow:
        case Flow.CLIENT_CREDENTIALS | Flow.AUTO:
            return grants.client_credentials(settings, secret_of(settings))
        case Flow.REFRESH_TOKEN:
            kept = refresh_token or read_secret(Path(settings.refresh_file))[0]
            return grants.refresh(settings, secret_of(settings), kept)
        case Flow.SERVICE_ACCOUNT:
            read = read_private(Path(settings.secret_file), limit=_KEY_LIMIT)
            account = read_account(read.octets.decode("utf-8", "replace"))
            claims = grants.claims(settings, account.account, now)
            return grants.jwt_bearer(signed(claims, account))
        case other:
            assert_never(other)


def _unreadable(settings: OAuth2Settings, error: Exception) -> Refused:
    if settings.flow is Flow.REFRESH_TOKEN and isinstance(error, NoSecretFile):
        reason = f"there is no sign-in yet: relayd oauth2 login {settings.name}"
        return Refused(wrong=Wrong.SIGN_IN, reason=reason)
    wrong = Wrong.KEY if settings.flow is Flow.SERVICE_ACCOUNT else Wrong.SECRET
    said = (error.strerror or "") if isinstance(error, OSError) else str(error)
    return Refused(wrong=wrong, reason=f"{wrong} cannot be used: {said}; {REMEDIES[wrong]}")

"""The device flow: somebody agrees in a browser, wherever that is, while we ask again and again.

Owns the questions and the waiting between them; what becomes of the tokens is in `tokens`.

Source: RFC 8628 §3.
"""

import ssl
import time
from collections.abc import Awaitable, Callable

from relayd.mail.http import HttpAnswer
from relayd.net.https import Unanswered, post
from relayd.net.oauth2.grant import secret_of, secrets_in
from relayd.policy.oauth2 import grants
from relayd.policy.oauth2.answers import (
    DeviceCode,
    Down,
    Granted,
    Pending,
    Refused,
    judge_device,
    judge_poll,
)
from relayd.policy.oauth2.grants import OAuth2Settings
from relayd.policy.oauth2.refusals import Wrong

_EXPIRED = Refused(wrong=Wrong.SIGN_IN, reason="the code has expired: nobody has typed it in time")


async def start(settings: OAuth2Settings, tls: ssl.SSLContext) -> DeviceCode | Refused | Down:
    """Return a code for somebody to type, or why there is none."""
    form = grants.device_start(settings)
    answer = await _asked(settings.device_url, form, tls)
    return answer if isinstance(answer, Down) else judge_device(answer, secrets_in(form))


async def wait(
    settings: OAuth2Settings,
    code: DeviceCode,
    tls: ssl.SSLContext,
    *,
    sleep: Callable[[float], Awaitable[None]],
) -> Granted | Refused:
    """Ask until somebody has agreed or refused, or the code is too old. Raises SecretError.

    A server that does not answer is asked again: somebody may be typing (RFC 8628 §3.5).
    """
    interval, ends = code.interval, time.monotonic() + code.lives_for.total_seconds()
    form = grants.device_poll(settings, secret_of(settings), code.device_code)
    while time.monotonic() < ends:
        await sleep(interval)
        answer = await _asked(settings.token_url, form, tls)
        if isinstance(answer, Down):
            continue
        match judge_poll(answer, secrets_in(form), interval):
            case Pending(interval=longer):
                interval = longer
            case Granted() | Refused() as found:
                return found
            case Down():
                pass
    return _EXPIRED


async def _asked(url: str, form: dict[str, str], tls: ssl.SSLContext) -> HttpAnswer | Down:
    try:
        return await post(url, form, tls=tls)
    except Unanswered as silent:
        return Down(reason=f"the token server {silent}")

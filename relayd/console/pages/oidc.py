"""Logging in by OpenID Connect: away to the provider, and back.

The console sees to it that the browser which comes back is the one that left. Who that is the daemon asks the
provider itself (`relayd.control.verbs.oidc`).
"""

import hmac
import re
from functools import partial

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from relayd.console import oidc
from relayd.console.asked import Asked
from relayd.console.pages.entrance import landed, login_page, own_path
from relayd.console.sessions import new_token
from relayd.control import client
from relayd.control.oidc import begin_to_json, log_in_to_json
from relayd.control.protocol import Message
from relayd.ports.oidc import Begun, Returned

_WITHIN = 12.0  # seconds for the daemon, which gives the provider less
_CODE = re.compile(r"[a-z_]{1,40}")
_STRANGE = "No log-in of this browser is under way, or it took more than 5 minutes: begin anew."
_log = structlog.get_logger(__name__)


async def begin(asked: Asked) -> Response:
    """Send the browser to the provider."""
    _needed(asked)
    attempt = oidc.Attempt.new(own_path(asked.params.get("next", "")))
    begun = Begun(
        state=attempt.state,
        nonce=attempt.nonce,
        challenge=attempt.challenge,
        redirect_uri=oidc.redirect_uri(asked.request),
    )
    found = await _ask(asked, begin_to_json(begun))
    url = found.get("url")
    if not isinstance(url, str):
        return _refused(asked, str(found.get("why", "")), attempt.wanted)
    answer = RedirectResponse(url, 303)
    attempt.give(answer, asked.request)
    return answer


async def come_back(asked: Asked) -> Response:
    """Let in whom the provider sends back, if this browser was sent there."""
    issuer, attempt = _needed(asked), oidc.kept(asked.request)
    state, code = asked.params.get("state", ""), asked.params.get("code", "")
    if attempt is None or not hmac.compare_digest(
        attempt.state.encode(), state.encode("utf-8", "replace")
    ):
        return _failed(asked, "state", _STRANGE)
    if asked.params.get("iss", issuer) != issuer:  # RFC 9207 §2.4
        return _failed(asked, "iss", "Another provider than ours answered: begin anew.")
    if not code:
        error = asked.params.get("error", "")
        error = error if _CODE.fullmatch(error) else "no code"
        return _failed(asked, error, f"The provider did not log you in: {error}.", attempt.wanted)
    returned = Returned(
        code=code,
        verifier=attempt.verifier,
        nonce=attempt.nonce,
        redirect_uri=oidc.redirect_uri(asked.request),
    )
    token, token_hash = new_token()
    request = log_in_to_json(returned, token_hash=token_hash, client=asked.client)
    found = await _ask(asked, request)
    if found.get("done") is not True:
        return _refused(asked, str(found.get("why", "")), attempt.wanted)
    answer = landed(asked, attempt.wanted, token)
    oidc.forget(answer, asked.request)
    return answer


def _needed(asked: Asked) -> str:
    """Return the issuer. Raises HTTPException if the settings name none."""
    settings = asked.console.settings.console.oidc
    if settings is None:
        raise HTTPException(404, "There is no such page.")
    return settings.rules.issuer


async def _ask(asked: Asked, request: Message) -> Message:
    return await asked.console.daemon.ask(partial(client.ask, request=request, timeout=_WITHIN))


def _failed(asked: Asked, reason: str, sentence: str, wanted: str = "") -> Response:
    _log.warning("oidc_login_failed", reason=reason, client_ip=asked.client)
    return _refused(asked, sentence, wanted)


def _refused(asked: Asked, sentence: str, wanted: str) -> Response:
    answer = login_page(asked, wanted=wanted, problem=sentence, status=403)
    oidc.forget(answer, asked.request)
    return answer

"""Verbs about log-ins by OpenID Connect: the daemon itself asks the provider who somebody is.

An account that has a password is never opened by the provider's word: it is of somebody whom an admin let in
here, and the provider may give the same name to another. Others are made at their first log-in, are from then on
of the token's `sub`, whatever name it has later, and have the role that their groups give them at each.
"""

from collections.abc import Mapping

import structlog

from relayd.control.oidc import begin_from_json, log_in_from_json
from relayd.control.protocol import Message
from relayd.control.verbs.verb import Asked, Forbidden, Verb
from relayd.policy.console.access import Rule
from relayd.policy.console.oidc import OidcRules, Refused, check_token, person_of
from relayd.ports.oidc import IdentityProvider, OidcFailed
from relayd.ports.people import LetIn, Session

_log = structlog.get_logger(__name__)
_FAILED = "The provider could not prove who you are: the log of the daemon says why."
_SENTENCES: Mapping[LetIn, str] = {
    LetIn.LOCAL: "Your name is that of an account with a password here: log in with that.",
    LetIn.DISABLED: "Your account is disabled here.",
    LetIn.ANOTHER: "Somebody else had your name before you: an admin has to remove their account here.",
}


async def begin(asked: Asked) -> Message:
    """Answer where the browser is sent."""
    begun = begin_from_json(asked.request)
    _, provider = _of(asked)
    try:
        return {"ok": True, "done": True, "url": await provider.authorization_url(begun)}
    except OidcFailed as failed:
        return _not_done(str(failed), _FAILED, "")


async def log_in(asked: Asked) -> Message:
    """Open a session for whom the provider names."""
    returned, token_hash, client = log_in_from_json(asked.request)
    rules, provider = _of(asked)
    now = asked.context.now()
    try:
        claims = await provider.claims(returned)
        check_token(claims, rules, nonce=returned.nonce, now=now)
    except (OidcFailed, ValueError) as failed:
        return _not_done(str(failed), _FAILED, client)
    person = person_of(claims, rules)
    if isinstance(person, Refused):
        return _not_done(person.name.lower(), person.value, client)
    session = Session(
        token_hash=token_hash, account=person.name, begun_at=now, seen_at=now, client=client
    )
    let_in = await asked.context.store.people.let_in(
        session, subject=person.subject, role=person.role, how="by OIDC"
    )
    if let_in is not LetIn.DONE:
        return _not_done(f"{person.name}: {let_in.value}", _SENTENCES[let_in], client)
    return {"ok": True, "done": True}


def _of(asked: Asked) -> tuple[OidcRules, IdentityProvider]:
    settings, provider = asked.context.settings.console.oidc, asked.context.identity_provider
    if settings is None or provider is None:
        raise Forbidden("console.oidc.issuer is not set: nobody logs in by OpenID Connect")
    return settings.rules, provider


def _not_done(reason: str, why: str, client: str) -> Message:
    _log.warning("oidc_login_failed", reason=reason, client_ip=client)
    return {"ok": True, "done": False, "why": why}


_CONSOLE = Rule(scope=None, group=False, console=True, account=False)

VERBS = (
    Verb(name="people.oidc_begin", handle=begin, is_change=False, rule=_CONSOLE),
    Verb(name="people.oidc_log_in", handle=log_in, is_change=True, rule=_CONSOLE),
)

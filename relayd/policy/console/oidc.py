"""Judge what an ID token says: whether it is for us and now, and which account with which role it opens.

Owns these rules: no clock, no keys. Its signature was checked before. A claim of another type than the
standard gives it is as good as missing.

Source: OpenID Connect Core 1.0 §2, §3.1.3.7; RFC 7519 §4.1.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite

from relayd.policy.console.names import parse_name
from relayd.policy.console.roles import Role

SKEW = timedelta(seconds=60)  # that the provider's clock may be off
_SUB_LIMIT = 255  # Core §2
_EMAIL = "email"
_HIGHEST_FIRST = (Role.ADMIN, Role.OPERATOR, Role.VIEWER)

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcRules:
    """What the settings say of the provider and of the people whom it knows."""

    issuer: str
    client_id: str
    name_claim: str = "preferred_username"
    role_claim: str = "groups"
    groups: Mapping[Role, frozenset[str]] = field(default_factory=dict)  # values of that claim


@dataclass(frozen=True, slots=True)
class Person:
    """Whose log-in it is."""

    subject: str  # issuer and sub, which nobody else is ever given (Core §5.7)
    name: str
    role: Role


class Refused(StrEnum):
    """Why somebody whom the provider knows is not let in: a sentence for them."""

    NAME = "Your account there has no name that an account can have here."
    EMAIL = "Your account there has no email address that was verified."
    ROLE = "Your account there is in no group that may use this console."


def check_token(claims: Claims, rules: OidcRules, *, nonce: str, now: datetime) -> None:
    """Return if the token is for us, for this log-in, and for now. Raises ValueError with what is wrong."""
    if claims.get("iss") != rules.issuer:
        raise ValueError("iss is another issuer")
    _check_audience(claims, rules.client_id)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(
        given.encode("utf-8", "replace"), nonce.encode()
    ):
        raise ValueError("nonce is not that of this log-in")
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub.isascii() or not 0 < len(sub) <= _SUB_LIMIT:
        raise ValueError(f"sub is no text of 1 to {_SUB_LIMIT} ASCII characters")
    at, skew = now.timestamp(), SKEW.total_seconds()
    if _instant(claims, "exp") <= at - skew:
        raise ValueError("exp is over")
    if _instant(claims, "iat") > at + skew:
        raise ValueError("iat is in the future")
    if "nbf" in claims and _instant(claims, "nbf") > at + skew:
        raise ValueError("nbf is in the future")


def person_of(claims: Claims, rules: OidcRules) -> Person | Refused:
    """Return whom a token that was checked is about, with the highest role of their groups, or why they are not let in."""
    name = claims.get(rules.name_claim)
    if rules.name_claim == _EMAIL and claims.get("email_verified") is not True:
        return Refused.EMAIL
    if not isinstance(name, str) or not name.isascii():
        return Refused.NAME
    try:
        name = parse_name(name.lower())
    except ValueError:
        return Refused.NAME
    given = claims.get(rules.role_claim)
    texts = given if isinstance(given, list) else [given]
    held = {each for each in texts if isinstance(each, str)}
    for role in _HIGHEST_FIRST:
        if not held.isdisjoint(rules.groups.get(role, frozenset())):
            return Person(f"{rules.issuer} {claims['sub']}", name, role)
    return Refused.ROLE


def _check_audience(claims: Claims, client_id: str) -> None:
    """A token for several needs to say that it was made for us; nobody else may have it made."""
    given = claims.get("aud")
    audience = given if isinstance(given, list) else [given]
    if client_id not in audience:
        raise ValueError("aud is another client")
    party = claims.get("azp", client_id if len(audience) == 1 else None)
    if party != client_id:
        raise ValueError("azp is another client")


def _instant(claims: Claims, name: str) -> float:
    """Return a number of seconds since 1970 (RFC 7519 §2, NumericDate). Raises ValueError."""
    given = claims.get(name)
    is_number = isinstance(given, int) or (isinstance(given, float) and isfinite(given))
    if isinstance(given, bool) or not isinstance(given, int | float) or not is_number:
        raise ValueError(f"{name} is missing")
    return given

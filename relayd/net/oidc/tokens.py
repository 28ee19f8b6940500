"""Signatures of ID tokens, by the keys that the provider publishes.

Only signatures with a public key count: with `none` there is none, and the key of `HS256` would be one that
everybody can read, or that the token's reader shares.

Source: RFC 7515 §4.1, RFC 7517 §4, RFC 8725 §3.1 (the reader decides which algorithms are good).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from relayd.ports.oidc import OidcFailed

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_LONGEST = 64 * 1024  # characters
_jws = jwt.PyJWS(algorithms=ALGORITHMS, options={"enforce_minimum_key_length": True})


class UnknownKey(OidcFailed):
    """None of the keys is that of the token: they may have been changed since."""


def claims_in(token: str, keys: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
    """Return what a token says if one of the keys signed it. Raises OidcFailed, and as that UnknownKey."""
    if len(token) > _LONGEST:
        raise OidcFailed("the ID token is too long")
    try:
        header = _jws.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise OidcFailed("the ID token is signed by an algorithm that is not taken")
        key = jwt.PyJWK(_key_of(header.get("kid"), keys), algorithm=algorithm)
        payload = _jws.decode_complete(token, key, algorithms=[algorithm])["payload"]
        claims = json.loads(payload)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise OidcFailed(f"the ID token is not good: {type(error).__name__}") from error
    if not isinstance(claims, dict):
        raise OidcFailed("the ID token has no claims")
    return claims


def _key_of(kid: object, keys: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the key with that id; a token without one is by the only key that there is."""
    usable = [each for each in keys if each.get("use", "sig") == "sig"]
    found = [each for each in usable if kid is None or each.get("kid") == kid]
    if len(found) != 1:
        raise UnknownKey(f"{len(found)} keys of the provider are that of the ID token")
    return dict(found[0])

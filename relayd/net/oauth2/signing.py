"""A JWT that a service account signs with RS256.

`cryptography` is imported where something is signed: a relay without a service account never loads it.

Sources: RFC 7515 §3.1, §5.1; RFC 7518 §3.3; the key file as Google's console gives it.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded where it is used
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


class KeyUnfit(ValueError):
    """The key file cannot be used; says why, without a word of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """What a key file holds."""

    account: str  # its address, which is who signs
    key_id: str
    private_key: str  # PEM

    def __repr__(self) -> str:
        return f"ServiceAccount({self.account!r}, ***)"


def read_account(text: str) -> ServiceAccount:
    """Return what a key file says. Raises KeyUnfit."""
    try:
        found = json.loads(text)
        if found["type"] != "service_account":
            raise KeyUnfit("expected the key of a service account")
        account = ServiceAccount(
            account=str(found["client_email"]),
            key_id=str(found.get("private_key_id", "")),
            private_key=str(found["private_key"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, KeyUnfit):
            raise
        raise KeyUnfit("expected the JSON file of a service account's key") from None
    _loaded(account)
    return account


def signed(claims: Mapping[str, object], account: ServiceAccount) -> str:
    """Return the claims as a JWT. Raises KeyUnfit."""
    header = {"alg": "RS256", "typ": "JWT", "kid": account.key_id}
    whole = f"{_part(header)}.{_part(claims)}"
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 -- seldom used
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    signature = _loaded(account).sign(whole.encode(), padding.PKCS1v15(), SHA256())
    return f"{whole}.{_base64url(signature)}"


def _loaded(account: ServiceAccount) -> "RSAPrivateKey":
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(account.private_key.encode(), password=None)
    except (ValueError, TypeError):
        raise KeyUnfit("its private_key is none") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyUnfit("expected an RSA key in private_key")
    return key


def _part(told: Mapping[str, object]) -> str:
    return _base64url(json.dumps(told, separators=(",", ":")).encode())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()

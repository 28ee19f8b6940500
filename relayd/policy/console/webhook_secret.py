"""The secrets that webhooks are signed with: made of the store's own, so none lies about.

Source: Standard Webhooks 1.0 (a secret is `whsec_` and base64 of 24 to 64 octets), RFC 2104 (HMAC).
"""

import hashlib
import hmac
from base64 import b64decode, b64encode

PREFIX = "whsec_"


def secret_of(endpoint: int, generation: int, *, key: bytes) -> str:
    """Return the secret of one generation of an endpoint; `key` is the store's secret."""
    made_of = f"relayd webhook secret 1\0{endpoint}\0{generation}".encode()
    return PREFIX + b64encode(hmac.digest(key, made_of, hashlib.sha256)).decode()


def key_of(secret: str) -> bytes:
    """Return the octets of a secret, which sign. Raises ValueError."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"a secret begins with {PREFIX}")
    return b64decode(secret.removeprefix(PREFIX), validate=True)

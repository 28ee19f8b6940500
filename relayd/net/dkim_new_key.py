"""Make a DKIM key. `cryptography` is imported where that is done: nobody else pays for it.

Sources: RFC 8301 §3.2 (RSA of 2048 bits); RFC 8463 (Ed25519); RFC 5208 (PKCS#8).
"""

from relayd.policy.dkim_rotation import KeyKind
from relayd.policy.doctor.dkim import GOOD_BITS


def new_key(kind: KeyKind) -> str:
    """Return a fresh private key as PEM."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa  # noqa: PLC0415

    key = (
        rsa.generate_private_key(public_exponent=65537, key_size=GOOD_BITS)
        if kind is KeyKind.RSA
        else ed25519.Ed25519PrivateKey.generate()
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()

"""The key file of a Google service account, with a key of our own."""

import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ACCOUNT = "robot@project.iam.gserviceaccount.com"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def key_file(**changes: object) -> str:
    told = {
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key_id": "abc",
        "private_key": pem(KEY),
        **changes,
    }
    return json.dumps(told)

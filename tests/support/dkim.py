"""Keys of DKIM, and dkimpy as the one who verifies: it shares no code with relayd."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import dkim  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relayd.net.dkim_keys import DkimKey, load_key

_FORMATS = {"pkcs8": PrivateFormat.PKCS8, "pkcs1": PrivateFormat.TraditionalOpenSSL}


@cache
def private_rsa(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=bits)


@cache
def private_ed25519() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def pem_of(private: RSAPrivateKey | Ed25519PrivateKey, form: str = "pkcs8") -> bytes:
    return private.private_bytes(Encoding.PEM, _FORMATS[form], NoEncryption())


def rsa_pem(bits: int = 2048) -> bytes:
    return pem_of(private_rsa(bits))


def ed25519_pem() -> bytes:
    return pem_of(private_ed25519())


def write_key(path: Path, pem: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(pem)
    path.chmod(mode)
    return path


def record_of(key: DkimKey) -> str:
    """Return what the DNS says of a key."""
    return (
        f"v=DKIM1; k={'rsa' if key.algorithm == 'rsa-sha256' else 'ed25519'}; p={key.published()}"
    )


def records(domain: str, **pems: bytes) -> Mapping[str, str]:
    """Return the records of a domain's keys, which are given by their selectors."""
    return {
        f"{selector}._domainkey.{domain}.": record_of(load_key(pem))
        for selector, pem in pems.items()
    }


def signatures(content: bytes) -> list[dict[str, str]]:
    """Return the tags of each signature in a message, in their order."""
    header = content.partition(b"\r\n\r\n")[0] + b"\r\n"
    found = re.findall(rb"(?mi)^DKIM-Signature:((?:[^\r\n]|\r\n[ \t])*)", header)
    return [
        {
            name.strip(): "".join(value.split())
            for part in field.decode().split(";")
            for name, _, value in (part.partition("="),)
        }
        for field in found
    ]


def verified(content: bytes, records: Mapping[str, str]) -> list[bool]:
    """Return for each signature of a message, in their order, whether dkimpy finds it right."""

    def texts(name: bytes | str, **_: object) -> bytes | None:
        asked = name.decode() if isinstance(name, bytes) else name
        return records[asked].encode() if asked in records else None

    verifier = dkim.DKIM(content)
    found: list[bool] = []
    for index in range(len(signatures(content))):
        try:
            found.append(bool(verifier.verify(idx=index, dnsfunc=texts)))
        except dkim.DKIMException:
            found.append(False)
    return found

"""Private keys of DKIM: read, judged, and used to sign.

`cryptography` is imported where a key is read: a relay that signs nothing never loads it. A key may be
used by several threads at a time.

Sources: RFC 6376 §3.3, §3.6.1; RFC 8301 §3.2 (key sizes); RFC 8463 §3, §4 (Ed25519).
"""

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from relayd.file_access import unreadable
from relayd.mail.dkim import Algorithm
from relayd.secret_files import SecretError, read_private

if TYPE_CHECKING:  # loaded where it is used
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

LEAST_BITS = 2048
SLOW_BITS = 4096  # from here on a signature costs more than all the rest of a message
_LIMIT = 64 * 1024  # octets of a file


class KeyUnfit(ValueError):
    """A key cannot be used; the text says why and what to do, and has no word of the key."""


class DkimKey:
    """A private key that may sign."""

    def __init__(self, private: "RSAPrivateKey | Ed25519PrivateKey") -> None:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.utils import Prehashed  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

        self._private = private
        self._rsa = private if isinstance(private, RSAPrivateKey) else None
        self._ed25519 = None if isinstance(private, RSAPrivateKey) else private
        self._how = PKCS1v15(), Prehashed(SHA256())

    @property
    def algorithm(self) -> Algorithm:
        return Algorithm.ED25519 if self._rsa is None else Algorithm.RSA

    @property
    def bits(self) -> int:
        return 256 if self._rsa is None else self._rsa.key_size

    @property
    def is_slow(self) -> bool:
        return self.bits >= SLOW_BITS

    def sign(self, octets: bytes) -> bytes:
        """Return the signature of `octets`, which are hashed first also for Ed25519 (RFC 8463 §3)."""
        hashed = hashlib.sha256(octets).digest()
        if self._rsa is not None:
            return self._rsa.sign(hashed, *self._how)
        assert self._ed25519 is not None, "it is one of the two"
        return self._ed25519.sign(hashed)

    def published(self) -> str:
        """Return the public key as p= has it: RSA as SubjectPublicKeyInfo, Ed25519 bare (RFC 8463 §4.2)."""
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            Encoding,
            PublicFormat,
        )

        public = self._private.public_key()
        octets = (
            public.public_bytes(Encoding.Raw, PublicFormat.Raw)
            if self._rsa is None
            else public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
        return b64encode(octets).decode()

    def __repr__(self) -> str:
        return f"DkimKey({self.algorithm}, {self.bits} bits)"


def read_key_file(path: Path) -> bytes:
    """Return the octets of a key file that others cannot read. Raises KeyUnfit.

    Unlike a password, a key that others may read is refused in a container too: who has it can send as the domain.
    """
    try:
        read = read_private(path, limit=_LIMIT)
    except FileNotFoundError:
        raise KeyUnfit("there is no such file") from None
    except OSError as error:
        raise KeyUnfit(f"the file cannot be read: {unreadable(error, path)}") from None
    except SecretError as error:
        raise KeyUnfit(str(error)) from None
    if read.warning:
        raise KeyUnfit(f"{read.warning}; run chmod o-rwx on it")
    if len(read.octets) > _LIMIT:
        raise KeyUnfit(f"expected at most {_LIMIT} octets in the file")
    return read.octets


def load_key(pem: bytes) -> DkimKey:
    """Return a key that is written in PEM, as PKCS#8 or PKCS#1. Raises KeyUnfit."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError:
        raise KeyUnfit("the key has a password; expected one without") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnfit("expected a private key in PEM, as PKCS#8 or PKCS#1") from None
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise KeyUnfit("expected an RSA or an Ed25519 key")
    key = DkimKey(private)
    if key.algorithm is Algorithm.RSA and key.bits < LEAST_BITS:
        raise KeyUnfit(f"the key has {key.bits} bits; expected {LEAST_BITS} or more")
    return key

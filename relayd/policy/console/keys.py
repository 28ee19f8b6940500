"""API keys as text, `rk_ID_SECRET`, and what is kept of them.

Owns the syntax and the hash; the caller brings the random octets. ID is public: it names the key in lists
and logs. SECRET has 160 bits, so one round of SHA-256 hides it, and no salt is needed. Who compares a
hash does so in constant time (`hmac.compare_digest`).
"""

import re
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network

from relayd.policy.intake.admit import is_among

ID_OCTETS = 5
SECRET_OCTETS = 20
_FORM = re.compile(r"rk_([a-z2-7]{8})_([a-z2-7]{32})")


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as its owner has it."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyText({self.id!r}, secret=***)"

    def __str__(self) -> str:
        return f"rk_{self.id}_{self.secret}"

    @property
    def hash(self) -> bytes:
        """What is stored: the hash of the secret part."""
        return sha256(self.secret.encode()).digest()


def make_key(id_octets: bytes, secret_octets: bytes) -> KeyText:
    """Return a key of `ID_OCTETS` and `SECRET_OCTETS` random octets."""
    assert (len(id_octets), len(secret_octets)) == (ID_OCTETS, SECRET_OCTETS)
    return KeyText(_base32(id_octets), _base32(secret_octets))


def parse_key(text: str) -> KeyText | None:
    """Read a key; None: it is none."""
    found = _FORM.fullmatch(text)
    return None if found is None else KeyText(*found.groups())


def is_valid(*, disabled: bool, expires_at: datetime | None, now: datetime) -> bool:
    """Tell whether a key can be used at all."""
    return not disabled and (expires_at is None or now < expires_at)


def is_admitted(client: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Tell whether a key may be used from an address; without networks it may from any."""
    try:
        return not networks or is_among(client, networks)
    except ValueError:  # no address: a proxy that names none
        return False


def _base32(octets: bytes) -> str:
    return b32encode(octets).decode().lower()

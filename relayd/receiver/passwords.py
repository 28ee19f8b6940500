"""Passwords as argon2id hashes: making one, and checking one.

The only module that knows argon2. Text is brought to one form first: the same password may be typed
in two (RFC 8265 §4.2.2).
"""

import unicodedata

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

# 19 MiB and two rounds on one core: about 20 ms. More memory would let a few clients that log in at
# once exhaust a small machine, which a relay is for.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)

NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$cmVsYXlkLW5vYm9keS4uLg$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""Costs what the hashes that we make cost, and no password is known for it."""


class Unverifiable(Exception):
    """The check itself failed: no memory, or a hash that is none."""


def hash_password(password: str) -> str:
    return _HASHER.hash(_normal(password))


def is_password(password: str, hashed: str) -> bool:
    """Check one; it takes its time, and one thread. Raises Unverifiable."""
    try:
        return _HASHER.verify(hashed, _normal(password))
    except VerifyMismatchError:
        return False
    except (VerificationError, InvalidHashError) as error:
        raise Unverifiable(str(error)) from error


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)

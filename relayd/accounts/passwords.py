"""Passwords as argon2id hashes: making one, and checking one.

The only module that knows argon2. Text is brought to one form first: the same password may be typed
in two (RFC 8265 §4.2.2).
"""

import unicodedata
from collections.abc import Iterable

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

# 19 MiB and two rounds on one core: about 20 ms. More memory would let a few clients that log in at
# once exhaust a small machine, which a relay is for.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
OUR_COST = "m=19456,t=2,p=1"
"""What the hashes that we make cost, as a hash has it."""
_NOBODY = "$argon2id$v=19${cost}$cmVsYXlkLW5vYm9keS4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


class Unverifiable(Exception):
    """The check itself failed: no memory, no thread, or too many before it."""


def hash_password(password: str) -> str:
    return _HASHER.hash(_normal(password))


def cost_of(hashed: str) -> str:
    """Return the part of a hash that says what a check of it costs."""
    return hashed.split("$")[3]


def check_password(password: str, hashed: str | None, costs: Iterable[str]) -> bool:
    """Check a password against a hash; None: nobody's.

    A refusal takes one check of each of the `costs`, whatever the hash costs and whether there is
    one: so time does not tell who has an account. It takes one thread. Raises Unverifiable.
    """
    if hashed is not None and is_password(password, hashed):
        return True
    for cost in costs:
        if hashed is None or cost != cost_of(hashed):
            is_password(password, _NOBODY.format(cost=cost))  # for the time it takes
    return False


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

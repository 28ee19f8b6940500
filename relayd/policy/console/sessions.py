"""How long a log-in to the console lasts.

Owns the times and the hash; instants come in, verdicts go out. The token has 256 random bits. Only its
SHA-256 is stored, so who reads the store cannot use what it finds there.
"""

import re
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

TOKEN_OCTETS = 32
IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
_TOUCHED = timedelta(minutes=1)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Verdict(StrEnum):
    """What is true of a session."""

    VALID = "valid"
    IDLE = "idle"  # for too long
    OVER = "over"  # it began too long ago


def judge(begun_at: datetime, seen_at: datetime, *, now: datetime) -> Verdict:
    """Tell whether a session lasts. A clock that was set back does not make it longer."""
    if not timedelta() <= now - begun_at < LONGEST:
        return Verdict.OVER
    return Verdict.VALID if now - seen_at < IDLE else Verdict.IDLE


def needs_touch(seen_at: datetime, *, now: datetime) -> bool:
    """Tell whether it is worth a write that the session was used now."""
    return now - seen_at >= _TOUCHED


def make_token(octets: bytes) -> str:
    """Return the token of `TOKEN_OCTETS` random octets, as a cookie has it."""
    assert len(octets) == TOKEN_OCTETS
    return urlsafe_b64encode(octets).decode().rstrip("=")


def hash_of(token: str) -> bytes | None:
    """Return what is stored of a token; None: it is none."""
    return sha256(token.encode()).digest() if _TOKEN.fullmatch(token) else None

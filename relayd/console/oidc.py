"""What a browser keeps while it is at the provider: a cookie for five minutes.

A form could not lead there (`form-action 'self'`), so a link begins a log-in. The cookie is `SameSite=Lax`: a
strict one is not sent when another site leads back to us. It says which log-in is this browser's, so nobody
can have others come back with a log-in of theirs.

Source: RFC 6749 §10.12 (state), RFC 7636 §4.1, §4.2 (verifier and challenge), OpenID Connect Core 1.0
§3.1.2.1 (nonce).
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from relayd.console import guard
from relayd.settings import ConsoleSettings

BACK = "/login/oidc/back"
_LASTS = 300  # seconds
_LONGEST = 1000  # characters of the way back


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One log-in of one browser."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    wanted: str  # the page to show afterwards

    @classmethod
    def new(cls, wanted: str) -> Self:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state=state, nonce=nonce, verifier=verifier, wanted=wanted[:_LONGEST])

    @property
    def challenge(self) -> str:
        return _text(hashlib.sha256(self.verifier.encode()).digest())

    def give(self, answer: Response, request: Request) -> None:
        """Put it in a cookie of this browser."""
        parts = (self.state, self.nonce, self.verifier, _text(self.wanted.encode()))
        answer.set_cookie(
            _cookie_of(request),
            ".".join(parts),
            max_age=_LASTS,
            path="/",
            secure=not guard.is_plain(request),
            httponly=True,
            samesite="lax",
        )


def kept(request: Request) -> Attempt | None:
    """Return the log-in that this browser has begun; None: none, or too long ago."""
    parts = request.cookies.get(_cookie_of(request), "").split(".")
    if len(parts) != 4 or not all(parts):
        return None
    try:
        wanted = urlsafe_b64decode(parts[3] + "=" * (-len(parts[3]) % 4)).decode()
    except ValueError:
        return None
    return Attempt(state=parts[0], nonce=parts[1], verifier=parts[2], wanted=wanted)


def forget(answer: Response, request: Request) -> None:
    is_secure = not guard.is_plain(request)
    answer.delete_cookie(
        _cookie_of(request), path="/", secure=is_secure, httponly=True, samesite="lax"
    )


def redirect_uri(request: Request) -> str:
    """Return where the provider sends the browser back: this console, by the name that the browser uses."""
    scheme = "http" if guard.is_plain(request) else "https"
    return f"{scheme}://{request.headers['host']}{BACK}"


def issuer_of(settings: ConsoleSettings) -> str:
    """Return the provider as people know it, its host; empty if there is none."""
    return "" if settings.oidc is None else urlsplit(settings.oidc.rules.issuer).netloc


def _cookie_of(request: Request) -> str:
    return "relayd_oidc" if guard.is_plain(request) else "__Host-relayd_oidc"


def _text(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")

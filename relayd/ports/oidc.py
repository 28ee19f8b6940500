"""The provider that logs people in by OpenID Connect, as the control socket asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from relayd.errors import RelaydError


class OidcFailed(RelaydError):
    """The provider gave no answer, or one that proves nothing. The text is for the log; it has no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A log-in as a browser takes it to the provider."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    challenge: str  # S256 of the verifier (RFC 7636 §4.2)
    redirect_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a browser comes back with, and what only that log-in knows."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    redirect_uri: str


class IdentityProvider(Protocol):
    async def authorization_url(self, begun: Begun) -> str:
        """Return where the browser is sent. Raises OidcFailed."""
        ...

    async def claims(self, returned: Returned) -> Mapping[str, object]:
        """Return what the ID token for a code says. The provider signed it. Raises OidcFailed."""
        ...

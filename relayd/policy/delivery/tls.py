"""Decide how a session with a next hop is secured, and what follows when that fails.

Owns what each TLS mode accepts. How far it may fall back, each step on a connection of its own:

| mode          | tried in this order                                   |
|---------------|-------------------------------------------------------|
| off           | clear text                                            |
| opportunistic | verified, then any certificate, then clear text       |
| required      | verified, then any certificate                        |
| verify        | verified                                              |
| implicit      | verified; to loopback any certificate then            |

A certificate that does not verify leads to any certificate, every other failure to clear text: a
reply to STARTTLS that refuses it, a handshake that fails, silence. If the mode does not allow that
step, the host failed.

A failure is remembered, so that only the first connection pays for it: a certificate for an hour
(A-50: the failure is reported every time). No TLS at all, as when the handshake stalls, for ten
minutes: less, because what goes out to the host meanwhile can be read on the way.

Sources: RFC 3207 §4, §4.1; RFC 7435 §3 (opportunistic); RFC 8314 §3.3 (implicit).
"""

from dataclasses import dataclass
from enum import Enum, auto

from relayd.policy.tls.ladder import TlsMode

_CERTIFICATE_FOR = 3600.0  # seconds
_HANDSHAKE_FOR = 600.0


class Security(Enum):
    """What a session is to have."""

    VERIFIED = auto()  # a certificate that proves the name
    ANY_CERTIFICATE = auto()
    CLEAR = auto()


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """Why a host gave no TLS session of the kind that was tried."""

    reason: str  # one cleaned line
    of_certificate: bool  # False: there is no TLS with any certificate either

    @property
    def remembered_for(self) -> float:
        """Return for how many seconds the host is not asked for better."""
        return _CERTIFICATE_FOR if self.of_certificate else _HANDSHAKE_FOR


_STEPS = {
    TlsMode.OFF: (Security.CLEAR,),
    TlsMode.OPPORTUNISTIC: (Security.VERIFIED, Security.ANY_CERTIFICATE, Security.CLEAR),
    TlsMode.REQUIRED: (Security.VERIFIED, Security.ANY_CERTIFICATE),
    TlsMode.VERIFY: (Security.VERIFIED,),
    TlsMode.IMPLICIT: (Security.VERIFIED,),
}
_ON_THIS_MACHINE = {**_STEPS, TlsMode.IMPLICIT: (Security.VERIFIED, Security.ANY_CERTIFICATE)}


def first_step(mode: TlsMode, *, is_loopback: bool) -> Security:
    """Return what is tried with a host of which nothing is remembered."""
    return _steps(mode, is_loopback=is_loopback)[0]


def step_after(failure: TlsFailure, mode: TlsMode, *, is_loopback: bool) -> Security | None:
    """Return what may still be had with a host that failed so; None: nothing that the mode accepts."""
    step = Security.ANY_CERTIFICATE if failure.of_certificate else Security.CLEAR
    return step if step in _steps(mode, is_loopback=is_loopback) else None


def may_do_without(mode: TlsMode) -> bool:
    """Tell whether a host that offers no STARTTLS, or refuses it, may have the mail in clear text."""
    return Security.CLEAR in _STEPS[mode]


def _steps(mode: TlsMode, *, is_loopback: bool) -> tuple[Security, ...]:
    """Return what is tried in which order; on this machine nobody can pose as the server."""
    return (_ON_THIS_MACHINE if is_loopback else _STEPS)[mode]

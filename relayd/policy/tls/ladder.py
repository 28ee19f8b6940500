"""Decide what a session with a next hop does with what TLS gives (table B of `docs/tls.md`).

Each attempt has one handshake. It is made without verification, and the certificate is judged after it, before
anything else is said. A host that may be reached in any way then goes on in the same connection. Only a handshake that
broke costs another connection, in clear text, and only where that is accepted.

A handshake that broke, or was refused, is remembered for ten minutes, so that only the first connection pays for it. That is short: what
goes to the host meanwhile can be read on the way. Nothing but a session that may go in clear text follows that memory.

Sources: RFC 3207 §4, §4.1; RFC 7435 §3 (opportunistic); RFC 7672 §2.2, §3 (DANE); RFC 8314 §3.3 (implicit);
RFC 8460 §4.3 (result types); RFC 8461 §4.2, §5 (MTA-STS).
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum, auto
from ipaddress import ip_address

from relayd.mail.tls_result import Proof, TlsPolicy, TlsProof, TlsResultType
from relayd.mail.tlsa import Tlsa

LOGGED_FOR = (
    3600.0  # seconds in which a certificate that proves nothing is in the log once for its server
)
CLEAR_FOR = 600.0  # seconds in which no handshake is tried where clear text is accepted


class TlsMode(StrEnum):
    """TLS towards a next hop, as the settings have it."""

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"  # STARTTLS where offered, any certificate, else clear text
    REQUIRED = "required"  # STARTTLS or nothing, any certificate
    VERIFY = "verify"  # STARTTLS with a certificate that proves the name
    IMPLICIT = "implicit"  # the connection begins with the handshake; else as VERIFY


class Level(IntEnum):
    """What a session is to have at least, the weakest first."""

    CLEAR = 0
    OPPORTUNISTIC = 1
    ENCRYPTED = 2
    PKIX = 3
    DANE = 4


class TlsEvent(Enum):
    """What happened on the way to a session under TLS."""

    NOT_OFFERED = auto()
    REFUSED = auto()  # STARTTLS, by a reply after which the session goes on
    NO_HANDSHAKE = auto()  # broken, too slow, no common version; or the session ended with STARTTLS
    EXPIRED = auto()
    WRONG_NAME = auto()
    NOT_TRUSTED = auto()
    NO_MATCH = auto()  # no TLSA record fits the chain
    NO_EHLO = auto()  # the session broke in the first command under TLS
    GOOD = auto()


class Step(Enum):
    """What follows."""

    GO_ON = auto()  # as it is
    CLEAR_HERE = auto()  # without TLS, in the same session
    CLEAR_ANEW = auto()  # without TLS, over another connection
    NEXT_HOST = auto()


@dataclass(frozen=True, slots=True)
class Ruling:
    """A cell of table B."""

    step: Step
    result: TlsResultType | None = None  # None: nothing failed


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFailure:
    """Why a host gave no TLS session of the kind that is asked of it."""

    event: TlsEvent
    reason: str  # one cleaned line

    @property
    def is_lasting(self) -> bool:
        """Tell whether the next try would end the same; a server may hang up after it refused STARTTLS."""
        return self.event in (TlsEvent.REFUSED, TlsEvent.NO_HANDSHAKE, TlsEvent.NO_EHLO)

    @property
    def remembered_for(self) -> float:
        """Return for how many seconds it need not be found, or told in the log, again."""
        return CLEAR_FOR if self.is_lasting else LOGGED_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a session with one host is to have, and whose demand that is."""

    level: Level
    policy: TlsPolicy = TlsPolicy.OPERATOR
    row: int = 1  # of table A
    begins_with_tls: bool = False  # instead of STARTTLS
    records: tuple[Tlsa, ...] = ()  # usable ones: for DANE
    base: str = ""  # name below which they are: for DANE
    names: tuple[str, ...] = ()  # one of which a certificate under a trust anchor has to prove
    note: str = ""  # what to know beside it; a line for people


_LEVELS = {
    TlsMode.OFF: Level.CLEAR,
    TlsMode.OPPORTUNISTIC: Level.OPPORTUNISTIC,
    TlsMode.REQUIRED: Level.ENCRYPTED,
    TlsMode.VERIFY: Level.PKIX,
    TlsMode.IMPLICIT: Level.PKIX,
}

_HERE, _ANEW, _NEXT, _ON = Step.CLEAR_HERE, Step.CLEAR_ANEW, Step.NEXT_HOST, Step.GO_ON
_COLUMNS = (Level.OPPORTUNISTIC, Level.ENCRYPTED, Level.PKIX, Level.DANE)

# What a report calls it, and what follows for each of those levels.
_ROWS: dict[TlsEvent, tuple[TlsResultType | None, tuple[Step, Step, Step, Step]]] = {
    TlsEvent.NOT_OFFERED: (TlsResultType.STARTTLS_NOT_SUPPORTED, (_HERE, _NEXT, _NEXT, _NEXT)),
    TlsEvent.REFUSED: (TlsResultType.STARTTLS_NOT_SUPPORTED, (_HERE, _NEXT, _NEXT, _NEXT)),
    TlsEvent.NO_HANDSHAKE: (TlsResultType.VALIDATION_FAILURE, (_ANEW, _NEXT, _NEXT, _NEXT)),
    TlsEvent.EXPIRED: (TlsResultType.CERTIFICATE_EXPIRED, (_ON, _ON, _NEXT, _NEXT)),
    TlsEvent.WRONG_NAME: (TlsResultType.CERTIFICATE_HOST_MISMATCH, (_ON, _ON, _NEXT, _NEXT)),
    TlsEvent.NOT_TRUSTED: (TlsResultType.CERTIFICATE_NOT_TRUSTED, (_ON, _ON, _NEXT, _NEXT)),
    TlsEvent.NO_MATCH: (TlsResultType.VALIDATION_FAILURE, (_NEXT, _NEXT, _NEXT, _NEXT)),
    TlsEvent.NO_EHLO: (TlsResultType.VALIDATION_FAILURE, (_ANEW, _NEXT, _NEXT, _NEXT)),
    TlsEvent.GOOD: (None, (_ON, _ON, _ON, _ON)),
}


def level_of(mode: TlsMode) -> Level:
    """Return what a setting asks of a session at least."""
    return _LEVELS[mode]


def asked_by(mode: TlsMode, ip: str) -> Requirement:
    """Return what the setting of a configured host asks at one of its addresses.

    On this machine nobody can pose as the server: under `implicit` it may show any certificate there.
    """
    is_implicit = mode is TlsMode.IMPLICIT
    level = Level.ENCRYPTED if is_implicit and ip_address(ip).is_loopback else level_of(mode)
    return Requirement(level=level, begins_with_tls=is_implicit)


def rule(event: TlsEvent, level: Level) -> Ruling:
    """Return what follows from an event, and what a report calls it: a cell of table B."""
    if level is Level.CLEAR:
        return Ruling(Step.GO_ON)
    result, steps = _ROWS[event]
    if level is Level.DANE and event is TlsEvent.EXPIRED:  # a date under a trust anchor of its own
        result = TlsResultType.VALIDATION_FAILURE
    return Ruling(steps[_COLUMNS.index(level)], result)


def meets(proof: Proof, host: str, requirement: Requirement) -> bool:
    """Tell whether what an open connection to `host` has shown is what a domain asks of that host.

    Without this a domain with a policy would get any connection that another one has opened.
    """
    if requirement.level is Level.DANE:
        fits = proof.record in requirement.records and proof.base == requirement.base
        return fits and (proof.kind is TlsProof.DANE_EE or proof.name in requirement.names)
    if requirement.level is Level.PKIX:
        return proof.kind is TlsProof.PKIX and proof.name == host
    return requirement.level is not Level.ENCRYPTED or proof.kind is not TlsProof.NONE

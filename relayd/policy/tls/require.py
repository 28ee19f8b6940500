"""Decide what a mail host has to show before it gets the mail of a domain (table A of `docs/tls.md`).

Owns the order in which the operator's settings, DANE and MTA-STS count. Asks nothing itself: the deliverer
brings what the DNS and the policies say. `asks_tlsa` tells whether it has to ask at all.

Invariant: a requirement is never below `direct.tls`, but where an entry of `[tls_policy]` says so. A lookup that failed
never means that there is no policy.

Sources: RFC 7671 §5, RFC 7672 §2 (DANE); RFC 8461 §2, §5 (MTA-STS); RFC 8689 §4 (TLS-Required).
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from relayd.mail.attempt import Breakdown
from relayd.mail.tls_result import TlsPolicy, TlsResult, TlsResultType
from relayd.mail.tlsa import Tlsa
from relayd.mail.words import Category, Fault
from relayd.policy.tls.ladder import Level, Requirement, TlsMode, level_of
from relayd.policy.tls.sts import StsMode, StsPolicy


class OperatorTls(StrEnum):
    """What an entry of `[tls_policy]` may say."""

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"
    VERIFY = "verify"
    DANE = "dane"


@dataclass(frozen=True, slots=True)
class NoTlsa:
    """Nothing for DANE: no records, or none that can be believed; and why, for people."""

    why: str


@dataclass(frozen=True, slots=True)
class TlsaUnknown:
    """The lookup failed: there may be records."""

    reason: str  # one cleaned line
    fault: Fault = Fault.DNS
    base: str = ""  # as of `TlsaFound`


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsaFound:
    """Secure records, at least one."""

    base: str  # name of a host below which they are
    records: tuple[Tlsa, ...]

    @property
    def usable(self) -> tuple[Tlsa, ...]:
        return tuple(record for record in self.records if record.is_usable)


TlsaState = NoTlsa | TlsaUnknown | TlsaFound


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainTls:
    """What is known of a domain, whatever its host."""

    domain: str
    floor: TlsMode  # direct.tls
    operator: OperatorTls | None = None  # entry of [tls_policy]
    is_lifted: bool = False  # the sender lifts the policies of the recipient's domain
    mx_is_secure: bool = False  # by DNSSEC
    sts: StsPolicy | None = None  # alive
    alias_of: str = ""  # the name that has its MX records; empty: the domain itself


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRefused:
    """The host may not have the mail now."""

    row: int
    policy: TlsPolicy
    result: TlsResultType
    reason: str  # one line for people
    category: Category = Category.TLS_FAILURE
    fault: Fault = Fault.PEER

    @property
    def breakdown(self) -> Breakdown:
        return Breakdown(category=self.category, fault=self.fault, reason=self.reason)

    @property
    def told(self) -> TlsResult:
        """Return what log and reports say of it."""
        return TlsResult(policy=self.policy, result=self.result, reason=self.reason)


def asks_tlsa(domain: DomainTls) -> bool:
    """Tell whether the TLSA records of its hosts count: else not one question is asked."""
    if domain.operator is not None:
        return domain.operator is OperatorTls.DANE
    return domain.floor is not TlsMode.OFF and not domain.is_lifted


def asks_sts(domain: DomainTls) -> bool:
    """Tell whether the domain's MTA-STS policy counts."""
    return domain.operator is None and domain.floor is not TlsMode.OFF and not domain.is_lifted


def require(host: str, domain: DomainTls, tlsa: TlsaState) -> Requirement | HostRefused:
    """Return what a host has to show: the first row of table A that fits."""
    floor = Requirement(
        level=level_of(domain.floor),
        policy=TlsPolicy.NONE,
        row=14,
        begins_with_tls=domain.floor is TlsMode.IMPLICIT,
    )
    if domain.operator is OperatorTls.DANE:
        return _dane_only(host, domain, tlsa, floor)
    fixed = _fixed(domain, floor)
    return _by_policy(host, domain, tlsa, floor) if fixed is None else fixed


def _fixed(domain: DomainTls, floor: Requirement) -> Requirement | None:
    """Return what counts whatever the recipient's domain says."""
    if domain.operator is not None:
        level = level_of(TlsMode(domain.operator.value))
        begins = floor.begins_with_tls and level >= Level.ENCRYPTED
        return replace(floor, level=level, policy=TlsPolicy.OPERATOR, row=1, begins_with_tls=begins)
    if domain.floor is TlsMode.OFF:
        return replace(floor, policy=TlsPolicy.OPERATOR, row=1)
    if domain.is_lifted:
        return replace(floor, policy=TlsPolicy.TLS_REQUIRED_NO, row=4)
    return None


def _by_policy(
    host: str, domain: DomainTls, tlsa: TlsaState, floor: Requirement
) -> Requirement | HostRefused:
    if isinstance(tlsa, TlsaUnknown):
        return HostRefused(
            row=5,
            policy=TlsPolicy.DANE,
            result=TlsResultType.DNSSEC_INVALID,
            reason=f"it is not known whether {host} has TLSA records: {tlsa.reason}",
            category=Category.DNS_FAILURE,
            fault=tlsa.fault,
        )
    if isinstance(tlsa, NoTlsa):
        return _by_sts(host, domain, floor)
    if not tlsa.usable:
        return _unusable(host, domain, floor)
    return _dane(host, domain, tlsa, floor)


def _dane_only(
    host: str, domain: DomainTls, tlsa: TlsaState, floor: Requirement
) -> Requirement | HostRefused:
    """Judge by an entry `dane` of the operator."""
    if isinstance(tlsa, TlsaFound) and tlsa.usable and domain.mx_is_secure:
        return _by_records(host, domain, tlsa, floor, TlsPolicy.DANE, 2)
    if isinstance(tlsa, TlsaUnknown):
        why = tlsa.reason
    elif isinstance(tlsa, NoTlsa):
        why = tlsa.why
    elif tlsa.usable:
        why = f"the MX answer of {domain.domain} is not secure"
    else:
        why = f"none of the TLSA records of {tlsa.base} can be used"
    return HostRefused(
        row=3,
        policy=TlsPolicy.DANE,
        result=TlsResultType.DANE_REQUIRED,
        reason=f"[tls_policy] asks for DANE with {host}: {why}",
        fault=tlsa.fault if isinstance(tlsa, TlsaUnknown) else Fault.PEER,
    )


def _dane(
    host: str, domain: DomainTls, tlsa: TlsaFound, floor: Requirement
) -> Requirement | HostRefused:
    """Judge by usable records: behind an insecure MX answer a list of hosts still counts (RFC 8461 §2)."""
    if domain.mx_is_secure:
        return _by_records(host, domain, tlsa, floor, TlsPolicy.DANE, 6)
    if _is_enforced(domain) and not _is_listed(host, domain):
        return _not_listed(host, domain, 7)
    return _by_records(host, domain, tlsa, floor, TlsPolicy.DANE_HOST, 8)


def _by_records(
    host: str,
    domain: DomainTls,
    tlsa: TlsaFound,
    floor: Requirement,
    policy: TlsPolicy,
    row: int,
) -> Requirement:
    names = [tlsa.base, host]
    if (
        domain.mx_is_secure
    ):  # else anybody may have named the host: it is the host alone (RFC 7672 §3.2.2)
        names += filter(None, (domain.domain, domain.alias_of))
    return replace(
        floor,
        level=Level.DANE,
        policy=policy,
        row=row,
        records=tlsa.usable,
        base=tlsa.base,
        names=tuple(dict.fromkeys(names)),
    )


def _unusable(host: str, domain: DomainTls, floor: Requirement) -> Requirement | HostRefused:
    """Judge by records of which none can be used: the host says that it has TLS (RFC 7672 §2.2)."""
    if _is_enforced(domain):
        return replace(_enforced(host, domain, floor), row=9)
    return replace(
        floor,
        level=max(floor.level, Level.ENCRYPTED),
        policy=TlsPolicy.DANE_UNUSABLE,
        row=9,
        note=f"none of the TLSA records of {host} can be used",
    )


def _by_sts(host: str, domain: DomainTls, floor: Requirement) -> Requirement | HostRefused:
    if _is_enforced(domain):
        return _enforced(host, domain, floor)
    if domain.sts is not None and domain.sts.mode is StsMode.TESTING:
        note = "" if _is_listed(host, domain) else _words(host, domain)
        return replace(floor, policy=TlsPolicy.MTA_STS_TESTING, row=13, note=note)
    return floor


def _enforced(host: str, domain: DomainTls, floor: Requirement) -> Requirement | HostRefused:
    if not _is_listed(host, domain):
        return _not_listed(host, domain, 12)
    return replace(floor, level=Level.PKIX, policy=TlsPolicy.MTA_STS, row=11)


def _is_enforced(domain: DomainTls) -> bool:
    return domain.sts is not None and domain.sts.mode is StsMode.ENFORCE


def _is_listed(host: str, domain: DomainTls) -> bool:
    return domain.sts is not None and domain.sts.fits(host)


def _not_listed(host: str, domain: DomainTls, row: int) -> HostRefused:
    return HostRefused(
        row=row,
        policy=TlsPolicy.MTA_STS,
        result=TlsResultType.VALIDATION_FAILURE,
        reason=_words(host, domain),
    )


def _words(host: str, domain: DomainTls) -> str:
    return f"mx-not-listed: the MTA-STS policy of {domain.domain} does not list {host}"

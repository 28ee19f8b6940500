"""Judge the certificate that listeners show.

Sources: RFC 6125 §6.4 (names); RFC 5280 §4.1.2.5 (dates).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from relayd.policy.doctor.der import CertificateFacts
from relayd.policy.doctor.finding import Check, Finding, Level

WARN_BEFORE = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    """The files of `[tls]`: `problem` says why they cannot be used, else `certificate` is set."""

    path: str
    problem: str = ""
    certificate: CertificateFacts | None = None


def judge_no_certificate() -> Finding:
    return Finding(
        check=Check.CERTIFICATE,
        subject="",
        level=Level.SKIPPED,
        reason="no listener has TLS",
    )


def judge_certificate(facts: PairFacts, fqdn: str, now: datetime) -> Finding:
    """Judge the pair of files."""

    def found(level: Level, reason: str, remedy: str = "") -> Finding:
        return Finding(
            check=Check.CERTIFICATE, subject=facts.path, level=level, reason=reason, remedy=remedy
        )

    certificate = facts.certificate
    if certificate is None:
        remedy = "Name a certificate and its own key in [tls], in PEM format."
        return found(Level.FAIL, facts.problem, remedy)
    renew = "Renew it; relayd takes the new files into use within a minute."
    left = certificate.not_after - now
    if left <= timedelta(0):
        return found(Level.FAIL, f"expired on {certificate.not_after:%Y-%m-%d}", renew)
    if certificate.not_before > now:
        reason = f"not valid before {certificate.not_before:%Y-%m-%d}"
        return found(Level.FAIL, reason, "Look at the clock, or install the certificate later.")
    if not any(_matches(name, fqdn.lower()) for name in certificate.names):
        names = ", ".join(certificate.names) or "nobody"
        reason = f"it is for {names}, not for {fqdn}: clients that verify hang up"
        return found(Level.WARN, reason, f"Get a certificate that names {fqdn} too.")
    if left < WARN_BEFORE:
        return found(Level.WARN, f"expires in {left.days} days", renew)
    reason = f"names {fqdn}, valid until {certificate.not_after:%Y-%m-%d}"
    return found(Level.OK, reason)


def _matches(pattern: str, name: str) -> bool:
    """Whether a name of a certificate means `name`; `*` stands for one whole label."""
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return name == pattern

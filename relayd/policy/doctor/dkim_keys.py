"""Judge what relayd signs with: for whom, since when, and what is left in the DNS of keys before.

Sources: RFC 6376 §3.1 (rotation); RFC 8058 §4 (one click has to be signed); the rules of Gmail, Yahoo and Microsoft
for those who send 5,000 mails a day: SPF and DKIM.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from relayd.mail.dns import DnsFailure, TextAnswer
from relayd.policy.doctor.dkim import key_name
from relayd.policy.doctor.finding import Check, Finding, Level

_OLD = timedelta(days=365)
_KEYGEN = "Make a key with `relayd dkim keygen {}`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A key that was rotated out: its record has to stay while mail with its signature is on the way."""

    domain: str
    selector: str
    stays_until: datetime


def judge_nothing_signed() -> Finding:
    """In direct mode, without any key."""
    return _finding(
        "",
        Level.WARN,
        "nothing is signed: large receivers refuse bulk mail without DKIM",
        _KEYGEN.format("DOMAIN"),
    )


def judge_no_reports(fqdn: str) -> Finding:
    """In direct mode, with keys of other domains alone: TLS reports have to be signed (RFC 8460 §3)."""
    return _finding(
        fqdn,
        Level.WARN,
        "no TLS report is sent, for none could be signed",
        f'{_KEYGEN.format("DOMAIN")} DOMAIN is that of fqdn or a parent of it. Or set tlsrpt.send = "off".',
    )


def judge_unusable(domain: str, selector: str, problem: str) -> Finding:
    """Judge a key of the settings whose file is no use; the problem says why and what to do."""
    remedy = "Correct the file and reload: mail of the domain goes without this signature."
    reason = f"the key cannot be used: {problem}"
    return _finding(key_name(selector, domain), Level.FAIL, reason, remedy)


def signs_for(domain: str, signing: Collection[str], *, strict: bool = False) -> bool:
    """Tell whether mail from a domain gets a signature that aligns (RFC 9989 §4.4); `strict` is adkim=s."""
    if strict:
        return domain in signing
    return any(domain == each or domain.endswith(f".{each}") for each in signing)


def judge_signer(domain: str, signing: Collection[str]) -> Finding | None:
    """Judge whether mail from a domain is signed; None if it is. `signing`: the domains with a key."""
    if signs_for(domain, signing):
        return None
    reason = "relayd does not sign for it: bulk mail needs SPF and DKIM, and one click a signature"
    return _finding(domain, Level.WARN, reason, _KEYGEN.format(domain))


def judge_age(domain: str, selector: str, made_at: datetime, now: datetime) -> Finding | None:
    """Judge whether a key wants to be replaced; None: not yet."""
    age = now - made_at
    if age < _OLD:
        return None
    return _finding(
        key_name(selector, domain),
        Level.WARN,
        f"the key is {age.days} days old",
        f"Make another with `relayd dkim keygen {domain}`, publish it, then `relayd dkim rotate {domain}`.",
    )


def judge_replaced(replaced: Replaced, answer: TextAnswer, now: datetime) -> Finding | None:
    """Judge the record of a key that does not sign any more; None: all is as it should be, or nobody knows."""
    name = key_name(replaced.selector, replaced.domain)
    if isinstance(answer, DnsFailure):
        return None
    is_there = bool(answer.texts)
    day = f"{replaced.stays_until:%Y-%m-%d %H:%M} UTC"
    if now < replaced.stays_until and not is_there:
        reason = (
            f"the record of the old key is gone before {day}: mail on the way has its signature"
        )
        return _finding(name, Level.WARN, reason, "Publish it again until then.")
    if now >= replaced.stays_until and is_there:
        reason = f"the record of the old key is still there; nobody needs it since {day}"
        return _finding(name, Level.WARN, reason, "Take it out of the DNS.")
    return None


def _finding(subject: str, level: Level, reason: str, remedy: str) -> Finding:
    return Finding(check=Check.DKIM, subject=subject, level=level, reason=reason, remedy=remedy)

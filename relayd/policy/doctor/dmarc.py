"""The DMARC policy of a sender's domain, and whether our mail aligns with it.

Owns the walk up the DNS tree that finds the policy and the organizational domain; no list of
public suffixes is needed.

Source: RFC 9989 §4.4 (alignment), §4.10 (tree walk, organizational domain, policy).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from relayd.mail.dns import DnsFailure
from relayd.policy.doctor.dmarc_record import DmarcError, Record, select
from relayd.policy.doctor.dns import LATER, Dns, shortened
from relayd.policy.doctor.finding import Check, Finding, Level

_LONG = 8  # labels: of a name with as many, the next one has _SHORTER
_SHORTER = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What the tree above a domain says."""

    domain: str
    organization: str = ""
    record: Record | None = None  # the one that counts for the domain
    found_at: str = ""  # the domain whose record it is
    broken: str = ""  # why the domain's own record does not count
    failure: DnsFailure | None = None

    @property
    def policy(self) -> str:
        """The policy for the domain; empty without a record."""
        if self.record is None:
            return ""
        return self.record.policy if self.found_at == self.domain else self.record.subdomains


async def walk(domain: str, dns: Dns) -> Walk:
    """Ask at the domain and above it, eight times at most."""
    records: dict[str, Record] = {}  # the longest name first
    broken, organization = "", ""
    for name in _names(domain):
        answer = await dns.texts(f"_dmarc.{name}")
        if isinstance(answer, DnsFailure):
            return Walk(domain=domain, failure=answer)
        try:
            record = select(answer)
        except DmarcError as wrong:
            broken = broken or f"{wrong} (at _dmarc.{name})"
            continue
        if record is None:
            continue
        records[name] = record
        if record.is_suffix is False:
            organization = name
        elif record.is_suffix and name != domain:
            organization = _one_below(domain, name)
        if organization:
            break
    organization = organization or min(records, key=_count, default=domain)
    found_at = next((each for each in (domain, organization, *records) if each in records), "")
    return Walk(
        domain=domain,
        organization=organization,
        record=records.get(found_at),
        found_at=found_at,
        broken=broken,
    )


def judge_no_sender() -> Finding:
    return Finding(
        check=Check.DMARC,
        subject="",
        level=Level.SKIPPED,
        reason="no sender's domain was named",
        remedy="Name the domains of From fields with --domain.",
    )


def judge_policy(found: Walk) -> Finding:
    """Judge what the domain asks receivers to do with forgeries."""
    name, record = f"_dmarc.{found.domain}", found.record
    level, remedy = Level.OK, ""
    if found.failure is not None:
        level, reason, remedy = Level.UNKNOWN, found.failure.reason, LATER
    elif found.broken and found.found_at != found.domain:
        level, reason = Level.FAIL, f"receivers ignore a broken record: {found.broken}"
        remedy = "Leave one record there, that begins with v=DMARC1; p=none."
    elif record is None:
        level, reason = Level.WARN, "no DMARC record: large receivers want one of bulk senders"
        remedy = f'Publish the TXT record "v=DMARC1; p=none" at {name}.'
    elif found.policy == "none":
        level = Level.WARN
        reason = f'"{shortened(record.text)}" at {found.found_at} asks for nothing'
        remedy = "Change the policy to quarantine or reject once the reports show no mail of yours."
    elif record.testing:
        level = Level.WARN
        reason = f'"{shortened(record.text)}" at {found.found_at} is a test (t=y)'
        remedy = "Take t=y out once the reports show no mail of yours."
    else:
        reason = f"{found.policy}, by the record of {found.found_at}"
    return Finding(check=Check.DMARC, subject=name, level=level, reason=reason, remedy=remedy)


def judge_alignment(sender: Walk, returns: Walk, *, signs: bool) -> Finding | None:
    """Judge whether SPF of the return path's domain vouches for the sender's.

    `signs`: a DKIM signature aligns as well, of relayd or by a key that was named. None if there is no policy to align with.
    """
    if sender.record is None or sender.failure is not None:
        return None
    level, remedy = Level.OK, ""
    if returns.failure is not None:
        level, reason, remedy = Level.UNKNOWN, returns.failure.reason, LATER
    elif _is_aligned(sender, returns, strict=sender.record.strict_spf):
        reason = f"the return path {returns.domain} aligns by SPF"
        reason += ", and the signature by DKIM" if signs else ""
    else:
        how = "strictly (aspf=s)" if sender.record.strict_spf else "by its organizational domain"
        reason = f"the return path {returns.domain} does not align {how}: only a DKIM signature can"
        if signs:
            reason += f" of {sender.domain}"
        else:
            level = Level.WARN
            remedy = (
                f"Sign the mail with a key of {sender.domain}, or take a bounces.verp_domain"
                f" {'equal to it' if sender.record.strict_spf else f'in {sender.organization}'}."
            )
    return Finding(
        check=Check.DMARC, subject=sender.domain, level=level, reason=reason, remedy=remedy
    )


def _is_aligned(sender: Walk, returns: Walk, *, strict: bool) -> bool:
    if strict:
        return sender.domain == returns.domain
    return sender.organization == returns.organization


def _names(domain: str) -> Iterator[str]:
    labels = domain.split(".")
    yield domain
    while len(labels) > 1:
        labels = labels[-_SHORTER:] if len(labels) >= _LONG else labels[1:]
        yield ".".join(labels)


def _one_below(domain: str, suffix: str) -> str:
    """The name between a domain and a public suffix above it."""
    return ".".join(domain.split(".")[-_count(suffix) - 1 :])


def _count(name: str) -> int:
    return name.count(".") + 1

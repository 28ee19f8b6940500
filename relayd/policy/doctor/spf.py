"""Evaluate SPF for an address that we send from, as a receiver does.

Macros, `exists` and `ptr` are not evaluated. Where they could change the result, it is UNKNOWN and
names them; where everything else decides the same way, they do not matter.

Source: RFC 7208 §4.6 (evaluation, limits), §5, §6.1.
"""

from dataclasses import dataclass, field
from ipaddress import ip_network

from relayd.mail.dns import DnsFailure, IpAddress, MxHosts
from relayd.policy.doctor.dns import LATER, Dns, first_failure, shortened
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.policy.doctor.spf_record import Record, Result, SpfError, Term, parse, select

LOOKUP_LIMIT = 10  # terms that ask the DNS, §4.6.4
VOID_LIMIT = 2  # of them that find nothing
MX_LIMIT = 10  # hosts of one mx


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    result: Result
    reason: str = ""  # of a result that is an error or unknown
    record: str = ""  # of the domain itself


class _Failed(Exception):
    """Evaluation ends here."""

    def __init__(self, result: Result, reason: str) -> None:
        self.result = result
        super().__init__(reason)


@dataclass(slots=True)
class _Evaluation:
    """One `check_host()`, with the counts that hold for all records it reads."""

    ip: IpAddress
    dns: Dns
    lookups: int = 0
    voids: int = 0
    not_evaluated: list[str] = field(default_factory=list)

    async def check(self, domain: str) -> tuple[set[Result], str]:
        """Return the results that are possible, one unless terms stay open, and the record."""
        answer = await self.dns.texts(domain)
        if isinstance(answer, DnsFailure):
            raise _Failed(Result.TEMPERROR, answer.reason)
        try:
            text = select(answer)
            record = None if text is None else parse(text)
        except SpfError as wrong:
            raise _Failed(Result.PERMERROR, f"{domain}: {wrong}") from None
        if record is None:
            return {Result.NONE}, ""
        return await self._results(domain, record), record.text

    async def _results(self, domain: str, record: Record) -> set[Result]:
        possible: set[Result] = set()
        for term in record.terms:
            matches = await self._matches(domain, term)
            if True in matches:
                possible.add(term.result)
            if False not in matches:
                return possible
        if not record.redirect:
            return possible | {Result.NEUTRAL}
        self._count(f"redirect={record.redirect}")
        if "%" in record.redirect:
            self.not_evaluated.append(f"redirect={record.redirect}")
            return possible | {Result.UNKNOWN}
        return possible | await self._of_other(record.redirect)

    async def _matches(self, domain: str, term: Term) -> set[bool]:
        """Return whether a term matches; both if that is not known."""
        if term.name == "all":
            return {True}
        if term.network is not None:
            return {self.ip in term.network}
        self._count(term.text)
        if term.has_macro or term.name in {"exists", "ptr"}:
            self.not_evaluated.append(term.text)
            return {True, False}
        if term.name == "include":
            results = await self._of_other(term.domain)
            return {result is Result.PASS for result in results if result is not Result.UNKNOWN} | (
                {True, False} if Result.UNKNOWN in results else set()
            )
        target = term.domain or domain
        hosts = [target] if term.name == "a" else await self._mail_hosts(target)
        ips = [ip for host in hosts for ip in await self._addresses(host)]
        if not ips:
            self._count_void(term.text)
        prefix = term.prefixes[0 if self.ip.version == 4 else 1]
        around = ip_network((self.ip, prefix), strict=False)
        return {any(ip in around for ip in ips)}

    async def _of_other(self, domain: str) -> set[Result]:
        results, _ = await self.check(domain)
        if Result.NONE in results:
            raise _Failed(Result.PERMERROR, f"{domain} has no SPF record, but is included")
        return results

    async def _mail_hosts(self, domain: str) -> list[str]:
        answer = await self.dns.mx(domain)
        match answer:
            case DnsFailure(reason=reason):
                raise _Failed(Result.TEMPERROR, reason)
            case MxHosts(hosts=hosts) if len(hosts) > MX_LIMIT:
                raise _Failed(Result.PERMERROR, f"{domain} has more than {MX_LIMIT} MX hosts")
            case MxHosts(hosts=hosts):
                return [host.name for host in hosts]
            case _:  # an implicit MX is none to SPF, §5.4
                return []

    async def _addresses(self, host: str) -> list[IpAddress]:
        """Return the addresses of a host in the family of ours."""
        found = await self.dns.addresses(host)
        ips = [ip for ip in found.ips if ip.version == self.ip.version]
        failure = first_failure(found)
        if not ips and failure is not None:
            raise _Failed(Result.TEMPERROR, failure.reason)
        return ips

    def _count(self, term: str) -> None:
        self.lookups += 1
        if self.lookups > LOOKUP_LIMIT:
            reason = f"more than {LOOKUP_LIMIT} look-ups: {term} is one too many"
            raise _Failed(Result.PERMERROR, reason)

    def _count_void(self, term: str) -> None:
        self.voids += 1
        if self.voids > VOID_LIMIT:
            reason = f"more than {VOID_LIMIT} look-ups that find nothing: {term} is one too many"
            raise _Failed(Result.PERMERROR, reason)


async def evaluate(domain: str, ip: IpAddress, dns: Dns) -> Verdict:
    """Return what SPF of `domain` says of mail from `ip`."""
    evaluation = _Evaluation(ip, dns)
    try:
        results, record = await evaluation.check(domain)
    except _Failed as failed:
        return Verdict(result=failed.result, reason=str(failed))
    if len(results) == 1 and Result.UNKNOWN not in results:
        return Verdict(result=results.pop(), record=record)
    left_out = ", ".join(evaluation.not_evaluated)
    reason = f"it depends on {left_out}, which relayd does not evaluate"
    return Verdict(result=Result.UNKNOWN, reason=reason, record=record)


def judge_spf(domain: str, ip: IpAddress, verdict: Verdict, *, is_helo: bool) -> Finding:
    """Judge a verdict. `is_helo`: the domain is our own name, which SPF asks about as well."""
    mechanism = f"ip{ip.version}:{ip}"
    add = f'Add "{mechanism}" to the SPF record of {domain}, in front of its "all".'
    shown = shortened(verdict.record)
    match verdict.result:
        case Result.PASS:
            level, reason, remedy = Level.OK, f'"{shown}" lists {ip}', ""
        case Result.NONE:
            level = Level.WARN if is_helo else Level.FAIL
            reason = "there is no SPF record"
            remedy = f'Publish the TXT record "v=spf1 {mechanism} -all" at {domain}.'
        case Result.NEUTRAL:
            level, reason, remedy = Level.WARN, f'"{shown}" says nothing about {ip}', add
        case Result.FAIL | Result.SOFTFAIL:
            level = Level.FAIL
            reason, remedy = f'"{shown}" does not list {ip}: {verdict.result}', add
        case Result.PERMERROR:
            level, reason = Level.FAIL, f"the record is broken: {verdict.reason}"
            remedy = "Correct the record; receivers treat it as if it did not list anybody."
        case Result.TEMPERROR:
            level, reason, remedy = Level.UNKNOWN, verdict.reason, LATER
        case _:
            level, reason = Level.UNKNOWN, verdict.reason
            remedy = f'Look whether it covers {ip}; "{mechanism}" in the record makes it certain.'
    return Finding(
        check=Check.SPF, subject=f"{domain} {ip}", level=level, reason=reason, remedy=remedy
    )

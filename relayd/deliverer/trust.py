"""What the mail hosts of a domain have to show: asks the DNS and the policies, and lets `policy.tls.require` decide.

Asks nothing whose answer would not count: no TLSA record behind an address that DNSSEC does not prove (name servers of such
zones answer that with errors), none without a trusted name server, and no MTA-STS policy where the operator has decided.

Sources: RFC 7672 §2.2 (what is asked, and what a failure means), §2.2.2 (aliases); RFC 8461 §5 (a policy may be outdated).
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from relayd.mail.attempt import Peer
from relayd.mail.dns import DnsFailure, DomainError, a_labels
from relayd.mail.tls_count import CountedSession
from relayd.mail.tls_result import TlsPolicy
from relayd.mail.tlsa import Tlsa
from relayd.policy.delivery.mx import Candidate, Candidates
from relayd.policy.delivery.route import matches
from relayd.policy.tls.counting import counted_session
from relayd.policy.tls.ladder import Requirement, meets
from relayd.policy.tls.require import (
    DomainTls,
    HostRefused,
    NoTlsa,
    OperatorTls,
    TlsaFound,
    TlsaState,
    TlsaUnknown,
    asks_sts,
    asks_tlsa,
    require,
)
from relayd.policy.tls.sts import StsPolicy
from relayd.ports.outward import Connection, Resolver
from relayd.settings import DirectSettings

NO_DANE = "no name server that is asked is trusted with DNSSEC (dns.trusted)"


class Policies(Protocol):
    """Where MTA-STS policies come from."""

    def begin(self, domain: str) -> None:
        """Ask what `policy` is going to ask, beside other questions."""

    async def policy(self, domain: str) -> StsPolicy | None:
        """Return the policy that counts; None: none does. Raises StoreError."""
        ...

    async def policy_now(self, domain: str) -> StsPolicy | None:
        """Return it after the domain was asked again (T-02). Raises StoreError."""
        ...


class NoPolicies:
    """MTA-STS is off."""

    def begin(self, domain: str) -> None:
        """Nothing."""

    async def policy(self, domain: str) -> StsPolicy | None:  # noqa: ARG002
        return None

    async def policy_now(self, domain: str) -> StsPolicy | None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class Judged:
    """What a host has to show, and what that rests on."""

    requirement: Requirement | HostRefused
    tlsa: TlsaState
    sts: StsPolicy | None


class Trust:
    """Asks for the domains of one worker."""

    def __init__(
        self, settings: DirectSettings, resolver: Resolver, policies: Policies | None = None
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._policies = policies or NoPolicies()

    def of(self, domain: str, *, is_lifted: bool = False) -> "DomainTrust":
        """Return who asks for one domain in one attempt; `is_lifted`: for mail that lifts its policies."""
        with suppress(DomainError):
            domain = a_labels(domain)
        entry = (level for name, level in self._settings.tls_policy if matches(domain, name))
        known = DomainTls(
            domain=domain,
            floor=self._settings.tls,
            operator=next(entry, None),
            is_lifted=is_lifted,
        )
        return DomainTrust(self._settings, self._resolver, self._policies, known)


class DomainTrust:
    """What is known of one domain in one attempt: each host is judged once."""

    def __init__(
        self, settings: DirectSettings, resolver: Resolver, policies: Policies, known: DomainTls
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._policies = policies
        self._domain = known
        self._judged: dict[str, Judged] = {}
        self._is_asked_again = False

    def begin(self) -> None:
        """Ask for the domain's policy beside its mail hosts."""
        if asks_sts(self._domain):
            self._policies.begin(self._domain.domain)

    async def load(self) -> None:
        """Ask for the domain's policy. Raises StoreError: nobody knows whether there is one."""
        if asks_sts(self._domain):
            sts = await self._policies.policy(self._domain.domain)
            self._domain = replace(self._domain, sts=sts)

    async def judge(self, candidate: Candidate, chosen: Candidates) -> Judged:
        """Return what a host has to show; before it is refused by a policy, that is asked again. Raises StoreError."""
        host = candidate.host
        if host in self._judged:
            return self._judged[host]
        is_secure, alias_of = chosen.is_secure, chosen.alias_of
        if (is_secure, alias_of) != (self._domain.mx_is_secure, self._domain.alias_of):
            self._domain = replace(self._domain, mx_is_secure=is_secure, alias_of=alias_of)
        tlsa = await self._tlsa(candidate)
        judged = self._judge(host, tlsa)
        refused = judged.requirement
        if isinstance(refused, HostRefused) and refused.policy is TlsPolicy.MTA_STS:
            await self._ask_again()
            judged = self._judge(host, tlsa)
        self._judged[host] = judged
        return judged

    async def judge_again(self, candidate: Candidate) -> Requirement | HostRefused | None:
        """Return what a host has to show now that its certificate was not enough for a policy.

        None: no other than before. Raises StoreError.
        """
        before = self._judged[candidate.host]
        if before.requirement.policy is not TlsPolicy.MTA_STS or not await self._ask_again():
            return None
        after = self._judge(candidate.host, before.tlsa)
        self._judged[candidate.host] = after
        return None if after.requirement == before.requirement else after.requirement

    def counted(self, peer: Peer, day: date) -> CountedSession | None:
        """Return what a TLS report counts of a new connection to one of the hosts that were judged; None: nothing."""
        judged = self._judged[peer.host]
        if self._domain.is_lifted:  # reports are sent so: there is no report about reports
            return None
        tlsa = judged.tlsa
        return counted_session(
            peer,
            self._domain.domain,
            day,
            sts=judged.sts,
            base="" if isinstance(tlsa, NoTlsa) else tlsa.base,
            records=tlsa.records if isinstance(tlsa, TlsaFound) else (),
        )

    def is_met_by(self, connection: Connection) -> bool:
        """Tell whether an open connection to one of the hosts that were judged has shown what this domain asks (T-01)."""
        judged = self._judged.get(connection.peer.host)
        asked = None if judged is None else judged.requirement
        return isinstance(asked, Requirement) and meets(
            connection.proof, connection.peer.host, asked
        )

    def serve(self, connection: Connection) -> None:
        """Say to an open connection whose mail it carries from now on."""
        asked = self._judged[connection.peer.host].requirement
        assert isinstance(asked, Requirement), "it meets it"
        connection.serve(asked)

    async def _ask_again(self) -> bool:
        """Fetch the policy of now, once in an attempt; tell whether it is another one (T-02)."""
        if self._is_asked_again:
            return False
        self._is_asked_again = True
        sts = await self._policies.policy_now(self._domain.domain)
        is_news = sts != self._domain.sts
        self._domain = replace(self._domain, sts=sts)
        return is_news

    def _judge(self, host: str, tlsa: TlsaState) -> Judged:
        return Judged(require(host, self._domain, tlsa), tlsa, self._domain.sts)

    async def _tlsa(self, candidate: Candidate) -> TlsaState:
        if why := self._why_not():
            return NoTlsa(why)
        bases = await self._bases(candidate)
        for base in bases:
            answer = await self._resolver.tlsa(f"_{self._settings.port}._tcp.{base}")
            if isinstance(answer, DnsFailure):
                return TlsaUnknown(answer.reason, answer.fault, base)
            if answer.authenticated and answer.records:
                records = tuple(Tlsa(*fields) for fields in answer.records)
                return TlsaFound(base=base, records=records)
        if not bases:
            return NoTlsa(f"the addresses of {candidate.host} are not secure")
        return NoTlsa(f"{' and '.join(bases)} {'have' if bases[1:] else 'has'} no TLSA records")

    def _why_not(self) -> str:
        """Return why TLSA records do not count; empty: they do."""
        if not asks_tlsa(self._domain):
            return "the settings do not ask for it"
        if not self._settings.dane and self._domain.operator is not OperatorTls.DANE:
            return "direct.dane is off"
        return "" if self._resolver.is_trusted else NO_DANE

    async def _bases(self, candidate: Candidate) -> tuple[str, ...]:
        """Return the names below which records count, the first ones first (RFC 7672 §2.2.2)."""
        if candidate.is_secure:
            return tuple(filter(None, (candidate.alias_of, candidate.host)))
        if candidate.alias_of and await self._resolver.alias_is_secure(candidate.host):
            return (candidate.host,)
        return ()

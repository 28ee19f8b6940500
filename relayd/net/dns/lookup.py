"""One question to the DNS, by dnspython; nothing of the library leaves this module.

Owns the query: EDNS with small datagrams, TCP where an answer is cut short, the name servers one
after the other until one answers, a limit on time (`relayd.net.dns.exchange` has the sockets). CNAMEs are followed. Knows no
cache; what the answers mean for mail is `relayd.net.dns.resolver`'s business.

Names come as A-labels, so dnspython's own idea of IDNA never applies (HN-03), and absolute, so no
search list does. An answer with a wrong id, question or sender is passed over: the library draws
ids and ports at random and goes on listening (A-65). DNSSEC is left to the name server: a bogus
answer comes as SERVFAIL. Each question has the AD bit, so that it says which answers it authenticated.
That is believed of a name server on this machine, or of one in `trusted`.

A negative answer is believed when it comes with the SOA record of a zone that holds the name. Lame
servers and referrals have none, and neither has the cache of dnsmasq. Without that proof, each name
server is asked once more, with the DO bit: caches that keep no proofs pass such a question on.

Sources: RFC 1034 §3.6.2 (CNAME), RFC 2308 §2 (negative answers), RFC 3225 (DO), RFC 6840 §5.7, §5.8 (AD),
RFC 6891 (EDNS), RFC 7766 (TCP).
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver

from relayd.errors import DENIED, Shortage, is_shortage
from relayd.mail.dns import DnsFailure
from relayd.mail.words import Fault
from relayd.net.dns.exchange import BoundedNameserver
from relayd.ports.outward import Clock
from relayd.settings import HostPort

_DATAGRAM_LIMIT = 1232  # octets that pass every path unfragmented
_IN_FLIGHT = 100
_TRY_LIMIT = 3.0  # seconds for one name server, before the next is asked
_CHAIN_LIMIT = 8  # questions for one answer, where name servers do not follow a CNAME themselves
_PORT = 53

# The library loads a type with its first record, which takes a descriptor and may fail for good.
for _each in ("A", "AAAA", "CNAME", "MX", "NS", "OPT", "PTR", "SOA", "TLSA", "TXT"):
    dns.rdata.get_rdata_class(dns.rdataclass.IN, dns.rdatatype.from_text(_each))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    texts: tuple[str, ...]  # in presentation format, such as "10 mx.a.test."
    complete: bool  # False: there are more
    ttl: float  # seconds
    authenticated: bool = False  # by the name server, and every CNAME on the way


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No such record. `exists`: the name has others, or other names below it (no NXDOMAIN)."""

    exists: bool
    proven: bool  # by the zone's SOA record; an answer without it may come from anywhere
    ttl: float  # seconds
    authenticated: bool = False  # as of `Records`


Finding = Records | Nothing | DnsFailure


class DnsLookup:
    """Asks the name servers; with none given, those of the system."""

    def __init__(
        self,
        nameservers: Sequence[HostPort],
        timeout: timedelta,
        *,
        clock: Clock,
        trusted: Collection[str] = (),
    ) -> None:
        asked = tuple(nameservers) or system_nameservers()
        servers = [
            BoundedNameserver(each.host, each.port, clock, is_trusted=_trusts(each.host, trusted))
            for each in asked
        ]
        self.is_trusted = any(each.is_trusted for each in servers)
        self._timeout = timeout.total_seconds()
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._backend = dns.asyncbackend.get_backend("asyncio")
        # Every name server gets two chances at least.
        try_for = min(_TRY_LIMIT, self._timeout / (2 * max(1, len(asked))))
        self._resolver = _resolver(servers, try_for, self._timeout)
        self._provers = [
            _resolver([each], try_for, try_for, flags=dns.flags.DO) for each in servers
        ]

    async def ask(self, name: str, rdtype: str) -> Finding:
        """Return what the DNS has under `name`; takes `timeout` at most. Raises Shortage alone."""
        if not self._resolver.nameservers:
            return DnsFailure(reason="no name server is configured", fault=Fault.LOCAL)
        question = f"{rdtype} {name}"
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                return await self._follow(dns.name.from_text(name), rdtype, question)
        except (TimeoutError, dns.resolver.LifetimeTimeout):
            return DnsFailure(reason=f"no answer to {question} within {self._timeout:g} s")
        except dns.resolver.NoNameservers as refused:
            return _blame(refused.kwargs["errors"], question)
        except dns.exception.DNSException:
            return DnsFailure(reason=f"no usable answer to {question}")

    async def _follow(self, name: dns.name.Name, rdtype: str, question: str) -> Finding:
        """Ask, and ask for the target of a CNAME again where the answer ends at it."""
        ttl, authenticated = float("inf"), True
        for _ in range(_CHAIN_LIMIT):
            found, target = await self._query(name, rdtype)
            ttl = min(ttl, found.ttl)
            authenticated = authenticated and found.authenticated
            if isinstance(found, Records) or (
                found.proven or not found.exists or target in (name, dns.name.root)
            ):
                return replace(found, ttl=ttl, authenticated=authenticated)
            name = target
        return DnsFailure(reason=f"too many CNAMEs behind {question}")

    async def _query(
        self, name: dns.name.Name, rdtype: str
    ) -> tuple[Records | Nothing, dns.name.Name]:
        """Return what one question gave, and the name at the end of its CNAMEs."""
        given = await self._answer(self._resolver, name, rdtype)
        if _is_definite(given[0]):
            return given
        for prover in self._provers:
            try:
                better = await self._answer(prover, name, rdtype)
            except dns.exception.DNSException:  # that it is silent now proves nothing either
                continue
            if _is_definite(better[0]):
                return better
        return given

    async def _answer(
        self, resolver: dns.asyncresolver.Resolver, name: dns.name.Name, rdtype: str
    ) -> tuple[Records | Nothing, dns.name.Name]:
        try:
            answer = await resolver.resolve(
                name, rdtype, raise_on_no_answer=False, backend=self._backend
            )
        except dns.resolver.NXDOMAIN as denied:
            return _read(denied.kwargs["responses"][name])
        return _read(answer.response)


def _resolver(
    servers: Sequence[BoundedNameserver], try_for: float, lifetime: float, *, flags: int = 0
) -> dns.asyncresolver.Resolver:
    """Return the library's resolver over `servers`; the times are seconds, `flags` those of EDNS."""
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = list(servers)
    resolver.timeout, resolver.lifetime = try_for, lifetime
    resolver.use_edns(0, flags, _DATAGRAM_LIMIT)
    resolver.flags = dns.flags.RD | dns.flags.AD
    return resolver


def _read(response: dns.message.QueryMessage) -> tuple[Records | Nothing, dns.name.Name]:
    """Return what a message says, and the name at the end of its CNAMEs."""
    chain = response.resolve_chaining()
    name, ttl = chain.canonical_name, chain.minimum_ttl
    authenticated = bool(response.flags & dns.flags.AD)
    if chain.answer is not None:
        texts = tuple(rdata.to_text() for rdata in chain.answer)
        complete = not response.errors
        return Records(texts=texts, complete=complete, ttl=ttl, authenticated=authenticated), name
    exists = response.rcode() != dns.rcode.NXDOMAIN
    proven = _is_proof(response, name)
    return Nothing(exists=exists, proven=proven, ttl=ttl, authenticated=authenticated), name


def _is_proof(response: dns.message.QueryMessage, name: dns.name.Name) -> bool:
    """Tell whether it has the SOA record of a zone that `name` is in, and nothing was left unread.

    The SOA record of another zone is about other names; that of a zone below is not asked about
    `name`; and a zone does not deny its own name (RFC 2308 §2.1, §2.2).
    """
    zones = [rrset.name for rrset in response.authority if rrset.rdtype == dns.rdatatype.SOA]
    if response.rcode() == dns.rcode.NXDOMAIN:
        zones = [zone for zone in zones if zone != name]
    return not response.errors and any(name.is_subdomain(zone) for zone in zones)


def _is_definite(found: Records | Nothing) -> bool:
    return isinstance(found, Records) or found.proven


def system_nameservers(path: Path = Path("/etc/resolv.conf")) -> tuple[HostPort, ...]:
    """Return the name servers that the system uses; none if it names none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ()
    fields = [line.split() for line in lines]
    hosts = [each[1] for each in fields if len(each) > 1 and each[0] == "nameserver"]
    return tuple(HostPort(host=host, port=_PORT) for host in hosts if _is_ip(host))


def _trusts(host: str, trusted: Collection[str]) -> bool:
    """Tell whether the AD bit of a name server counts: nobody can change it on the way."""
    ip = ip_address(host)
    return ip.is_loopback or str(ip) in trusted


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _blame(errors: Sequence[tuple[Any, ...]], question: str) -> DnsFailure:
    """Say what the last name server did, in words of our own. Raises Shortage if it was not asked."""
    nameserver, _, _, what, _ = errors[-1]
    host = nameserver.partition(":")[2].rpartition("@")[0]
    if isinstance(what, str):  # the name of a response code
        return DnsFailure(reason=f"{host} answers {what} to {question}")
    if not isinstance(what, OSError):
        return DnsFailure(reason=f"{host} gives no usable answer to {question}")
    why = (what.strerror or "no connection").lower()
    if is_shortage(what):
        raise Shortage(f"no socket for the DNS: {why}") from what
    fault = Fault.LOCAL if what.errno in DENIED else Fault.DNS
    return DnsFailure(reason=f"{host} cannot be asked for {question}: {why}", fault=fault)

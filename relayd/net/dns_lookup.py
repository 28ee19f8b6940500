"""One question to the DNS, by dnspython; nothing of the library leaves this module.

Owns the query: EDNS with small datagrams, TCP where an answer is cut short, the name servers one
after the other until one answers, a limit on time (`relayd.net.dns_exchange` has the sockets). CNAMEs are followed. Knows no
cache; what the answers mean for mail is `relayd.net.resolver`'s business.

Names come as A-labels, so dnspython's own idea of IDNA never applies (HN-03), and absolute, so no
search list does. An answer with a wrong id, question or sender is passed over: the library draws
ids and ports at random and goes on listening (A-65). DNSSEC is left to the name server: a bogus
answer comes as SERVFAIL.

Sources: RFC 1034 §3.6.2 (CNAME), RFC 2308 (negative answers), RFC 6891 (EDNS), RFC 7766 (TCP).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver

from relayd.errors import DENIED, Shortage, is_shortage
from relayd.mail.dns import DnsFailure
from relayd.mail.words import Fault
from relayd.net.dns_exchange import BoundedNameserver
from relayd.ports.outward import Clock
from relayd.settings import HostPort

_DATAGRAM_LIMIT = 1232  # octets that pass every path unfragmented
_IN_FLIGHT = 100
_TRY_LIMIT = 3.0  # seconds for one name server, before the next is asked
_CHAIN_LIMIT = 8  # questions for one answer, where name servers do not follow a CNAME themselves
_PORT = 53

# The library loads a type with its first record, which takes a descriptor and may fail for good.
for _each in ("A", "AAAA", "CNAME", "MX", "NS", "OPT", "PTR", "SOA", "TXT"):
    dns.rdata.get_rdata_class(dns.rdataclass.IN, dns.rdatatype.from_text(_each))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    texts: tuple[str, ...]  # in presentation format, such as "10 mx.a.test."
    complete: bool  # False: there are more
    ttl: float  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No such record. `exists`: the name has others, or other names below it (no NXDOMAIN)."""

    exists: bool
    proven: bool  # with a SOA record; an empty answer without one may come from anywhere
    ttl: float  # seconds


Finding = Records | Nothing | DnsFailure


class DnsLookup:
    """Asks the name servers; with none given, those of the system."""

    def __init__(
        self, nameservers: Sequence[HostPort], timeout: timedelta, *, clock: Clock
    ) -> None:
        asked = tuple(nameservers) or system_nameservers()
        self._timeout = timeout.total_seconds()
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [
            BoundedNameserver(each.host, each.port, clock) for each in asked
        ]
        # Every name server gets two chances at least.
        self._resolver.timeout = min(_TRY_LIMIT, self._timeout / (2 * max(1, len(asked))))
        self._resolver.lifetime = self._timeout
        self._resolver.use_edns(0, 0, _DATAGRAM_LIMIT)

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
        ttl = float("inf")
        for _ in range(_CHAIN_LIMIT):
            found, target = await self._query(name, rdtype)
            ttl = min(ttl, found.ttl)
            if isinstance(found, Records):
                return Records(texts=found.texts, complete=found.complete, ttl=ttl)
            if found.proven or not found.exists or target in (name, dns.name.root):
                return Nothing(exists=found.exists, proven=found.proven, ttl=ttl)
            name = target
        return DnsFailure(reason=f"too many CNAMEs behind {question}")

    async def _query(
        self, name: dns.name.Name, rdtype: str
    ) -> tuple[Records | Nothing, dns.name.Name]:
        """Return what one question gave, and the name at the end of its CNAMEs."""
        try:
            answer = await self._resolver.resolve(
                name, rdtype, raise_on_no_answer=False, backend=self._backend
            )
        except dns.resolver.NXDOMAIN as denied:
            chain = denied.kwargs["responses"][name].resolve_chaining()
            return Nothing(exists=False, proven=True, ttl=chain.minimum_ttl), name
        ttl = answer.chaining_result.minimum_ttl
        if answer.rrset is None:
            proven = any(rrset.rdtype == dns.rdatatype.SOA for rrset in answer.response.authority)
            return Nothing(exists=True, proven=proven, ttl=ttl), answer.canonical_name
        texts = tuple(rdata.to_text() for rdata in answer.rrset)
        complete = not answer.response.errors
        return Records(texts=texts, complete=complete, ttl=ttl), answer.canonical_name


def system_nameservers(path: Path = Path("/etc/resolv.conf")) -> tuple[HostPort, ...]:
    """Return the name servers that the system uses; none if it names none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ()
    fields = [line.split() for line in lines]
    hosts = [each[1] for each in fields if len(each) > 1 and each[0] == "nameserver"]
    return tuple(HostPort(host=host, port=_PORT) for host in hosts if _is_ip(host))


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

"""The DNS as direct delivery sees it: mail hosts of a domain, addresses of a host.

And as `relayd.doctor` does, which asks what receivers ask about us: texts, names, blocklists.

Owns the way from a question to its answer: what is no domain name never reaches the DNS (HN-04);
what is known is not asked again; equal questions at one time are asked once. Answers are
values, failures among them; nothing that the DNS does raises, only a Shortage of our own. Which hosts and addresses are good
for anything is decided in `relayd.policy`.

Sources: RFC 5321 §5.1, RFC 7505 §3.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain, zip_longest
from typing import assert_never

from relayd.mail.dns import (
    Addresses,
    DnsFailure,
    DomainError,
    ImplicitMx,
    IpAddress,
    MxAnswer,
    MxHost,
    MxHosts,
    NameAnswer,
    Names,
    NoSuchDomain,
    NullMx,
    TextAnswer,
    Texts,
    TlsaAnswer,
    TlsaRecords,
    a_labels,
)
from relayd.mail.text import replaced
from relayd.net.dns.cache import DnsCache, Question
from relayd.net.dns.lookup import DnsLookup, Finding, Nothing, Records
from relayd.net.dns.names import as_text, as_wire
from relayd.net.dns.records import Mx
from relayd.ports.outward import Clock
from relayd.settings import HostPort

_TEXT_LIMIT = 4096  # octets of one TXT record
_NULL_MX = ((0, ""),)  # alone; RFC 7505 §3


class DnsResolver:
    """`relayd.ports.outward.Resolver` over name servers; with none given, those of the system."""

    def __init__(
        self,
        *,
        nameservers: Sequence[HostPort],
        timeout: timedelta,
        clock: Clock,
        trusted: Collection[str] = (),
    ) -> None:
        self._lookup = DnsLookup(nameservers, timeout, clock=clock, trusted=trusted)
        self._clock = clock
        self._cache = DnsCache(clock)
        self._running: dict[Question, asyncio.Task[Finding]] = {}

    @property
    def is_trusted(self) -> bool:
        """A name server whose AD bit counts is among those that are asked."""
        return bool(self._lookup.trusted)

    @property
    def trusted(self) -> Sequence[HostPort]:
        """Return the name servers whose AD bit counts."""
        return self._lookup.trusted

    def distrust(self, server: HostPort) -> None:
        """Let the AD bit of a name server count no longer, and forget what was known with it."""
        self._lookup.distrust(server)
        self._cache = DnsCache(self._clock)

    async def mx(self, domain: str) -> MxAnswer:
        try:
            name = a_labels(domain)
        except DomainError as error:
            return NoSuchDomain(reason=f"the recipient's domain is {error}")
        found = await self._find(name, "MX")
        match found:
            case Records(values=values, complete=True, authenticated=known) if values == _NULL_MX:
                return NullMx(authenticated=known)
            case Records(values=values, authenticated=known):
                alias_of = _alias_of(found, name)
                return MxHosts(hosts=_mail_hosts(values), authenticated=known, alias_of=alias_of)
            case Nothing(exists=True, proven=proven, authenticated=known):
                proven = proven or await self._is_served(name)
                return ImplicitMx(domain=name, proven=proven, authenticated=known)
            case Nothing(proven=proven, authenticated=known):
                reason = f"the domain {name} does not exist"
                return NoSuchDomain(reason=reason, proven=proven, authenticated=known)
            case DnsFailure():
                return found
            case _:
                assert_never(found)

    async def addresses(self, host: str) -> Addresses:
        try:
            name = a_labels(host)
        except DomainError:
            return Addresses()
        types = ("A", "AAAA")
        asked = [self._begin(name, each) for each in types]
        found = [await _finding(each) for each in asked]
        families = [_ips(each) for each in found]
        failures = [
            _failure(each, f"{type_} {name}") for each, type_ in zip(found, types, strict=True)
        ]
        by_turns = chain.from_iterable(zip_longest(*families))
        return Addresses(
            ips=tuple(ip for ip in by_turns if ip is not None),
            failures=tuple(failure for failure in failures if failure is not None),
            authenticated=_is_proven(found),
            alias_of=next(filter(None, (_alias_of(each, name) for each in found)), ""),
        )

    async def texts(self, name: str) -> TextAnswer:
        """Return the TXT records of a name, in any order; none for what cannot be a name."""
        found = await self._definite(name, "TXT")
        match found:
            case Records(values=values):
                texts = tuple(_visible(text) for text in values)
                return Texts(texts=texts, authenticated=found.authenticated)
            case Nothing(exists=exists):
                return Texts(exists=exists, authenticated=found.authenticated)
            case _:
                return found

    async def tlsa(self, name: str) -> TlsaAnswer:
        """Return the TLSA records of a name such as `_25._tcp.mx.a.test` (RFC 6698 §3)."""
        found = await self._definite(name, "TLSA")
        match found:
            case Records(values=values):
                return TlsaRecords(records=values, authenticated=found.authenticated)
            case Nothing():
                return TlsaRecords(authenticated=found.authenticated)
            case _:
                return found

    async def alias_is_secure(self, host: str) -> bool:
        """Tell whether `host` is an alias and DNSSEC proves that, whatever is at its end.

        The answer to a question of another type has the AD bit only if all of it is proven, so it
        does not tell (RFC 7672 §2.2.2).
        """
        found = await self._definite(host, "CNAME")
        return isinstance(found, Records) and found.authenticated

    async def names(self, ip: IpAddress) -> NameAnswer:
        """Return the names that reverse DNS gives an address."""
        found = await self._definite(ip.reverse_pointer, "PTR")
        match found:
            case Records(values=values):
                return Names(names=values, authenticated=found.authenticated)
            case Nothing():
                return Names(authenticated=found.authenticated)
            case _:
                return found

    async def marks(self, name: str) -> Addresses:
        """Return the A records alone: the answer of a blocklist (RFC 5782)."""
        found = await self._definite(name, "A")
        failures = (found,) if isinstance(found, DnsFailure) else ()
        return Addresses(ips=_ips(found), failures=failures, authenticated=_is_authenticated(found))

    async def _is_served(self, name: str) -> bool:
        """Tell whether the servers of a zone `name` answer for it.

        That is proof enough where the name server leaves the authority section out of everything,
        as simple forwarders do: a server that has the SOA record would have the MX records.
        """
        return isinstance(await self._find(name, "SOA"), Records)

    async def _definite(self, name: str, rdtype: str) -> Finding:
        """Look it up; what is not definite is a failure, what is no name does not exist."""
        try:
            name = a_labels(name)
        except DomainError:
            return Nothing(exists=False, proven=True, ttl=0)
        found = await self._find(name, rdtype)
        return _failure(found, f"{rdtype} {name}") or found

    async def _find(self, name: str, rdtype: str) -> Finding:
        """Look it up in the cache, else wait for the query of the one that asked first."""
        return await _finding(self._begin(name, rdtype))

    def _begin(self, name: str, rdtype: str) -> "Finding | asyncio.Task[Finding]":
        """Return what the cache has, else the query: that of the one that asked first.

        It is a task that belongs to nobody: who gives up waiting does not end it for the
        others. It ends by itself in time, and this dict keeps it alive.
        """
        question = (name, rdtype)
        known = self._cache.get(question)
        if known is not None:
            return known
        running = self._running.get(question)
        if running is None:
            running = asyncio.get_running_loop().create_task(
                self._ask(question), name="DNS question"
            )
            self._running[question] = running
            running.add_done_callback(partial(self._done, question))
        return running

    def _done(self, question: Question, running: "asyncio.Task[Finding]") -> None:
        del self._running[question]
        if not running.cancelled():
            running.exception()  # a Shortage: those that wait get it, and nobody may wait any more

    async def _ask(self, question: Question) -> Finding:
        cache = self._cache  # of today: `distrust` may begin another one meanwhile
        finding = await self._lookup.ask(*question)
        cache.put(question, finding)
        return finding


async def _finding(asked: "Finding | asyncio.Task[Finding]") -> Finding:
    if not isinstance(asked, asyncio.Task):
        return asked
    return asked.result() if asked.done() else await asyncio.shield(asked)


def _is_proven(found: Sequence[Finding]) -> bool:
    """Tell whether DNSSEC proves what was found of a host.

    A lookup that failed says nothing of that: else who spoils one of two lookups would switch off DANE.
    """
    known = [each for each in found if not isinstance(each, DnsFailure)]
    return bool(known) and all(each.authenticated for each in known)


def _alias_of(found: Finding, name: str) -> str:
    """Return the name at the end of CNAMEs; empty: there are none."""
    if not isinstance(found, Records) or found.name == as_wire(name):
        return ""
    return as_text(found.name)


def _is_authenticated(found: Finding) -> bool:
    return not isinstance(found, DnsFailure) and found.authenticated


def _mail_hosts(values: Sequence[Mx]) -> tuple[MxHost, ...]:
    """Return the mail hosts. The root is none."""
    return tuple(MxHost(preference=number, name=name) for number, name in values if name)


def _visible(text: bytes) -> str:
    """Read a TXT record.

    What is not printable stays visible as U+FFFD: a line break in a record is a mistake to be found.
    """
    decoded = text[:_TEXT_LIMIT].decode("utf-8", "backslashreplace")
    return replaced(decoded.replace("\t", " "), by="\ufffd")


def _ips(found: Finding) -> tuple[IpAddress, ...]:
    """Return the addresses; a mapped one is the IPv4 address that it leads to (RFC 4291 §2.5.5.2)."""
    ips = found.values if isinstance(found, Records) else ()
    return tuple(getattr(ip, "ipv4_mapped", None) or ip for ip in ips)


def _failure(found: Finding, question: str) -> DnsFailure | None:
    """Why there may be more than was found; None if the answer is definite."""
    match found:
        case DnsFailure():
            return found
        case Nothing(proven=False):
            reason = f"an empty answer to {question} that proves nothing"
            return DnsFailure(reason=reason, is_empty=True)
        case Records(complete=False):
            return DnsFailure(reason=f"more records for {question} than are looked at")
        case _:
            return None

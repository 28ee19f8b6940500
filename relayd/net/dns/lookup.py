"""One question to the DNS: what the name servers say, one after the other until one answers.

Owns the limit on time and on questions under way, CNAMEs that no name server follows, and what counts as an answer (`nameserver` asks one
of them). Knows no cache; what the answers mean for mail is `relayd.net.dns.resolver`'s business.

Names come as A-labels (HN-03), and absolute, so no search list applies. DNSSEC is left to the name
server: a bogus answer comes as SERVFAIL. Each question has the AD bit, so that it says which answers it
authenticated. That is believed of a name server on this machine, or of one in `trusted`.

A negative answer is believed when it comes with the SOA record of a zone that holds the name. Lame
servers and referrals have none, and neither has the cache of dnsmasq. Without that proof, each name
server is asked once more, with the DO bit: caches that keep no proofs pass such a question on.

Sources: RFC 1034 §3.6.2 (CNAME), RFC 2308 §2 (negative answers), RFC 3225 (DO), RFC 6840 §5.7, §5.8 (AD).
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address

from relayd.errors import DENIED, Shortage, is_shortage
from relayd.mail.dns import DnsFailure
from relayd.mail.words import Fault
from relayd.net.dns.message import NOERROR, NXDOMAIN, REFUSED, Answer, Question, name_of
from relayd.net.dns.names import ROOT, Malformed, as_wire, zones_of
from relayd.net.dns.nameserver import Nameserver
from relayd.net.dns.places import Places
from relayd.net.dns.records import TYPES, Value
from relayd.net.dns.system import system_nameservers
from relayd.ports.outward import Clock
from relayd.settings import HostPort

_TRY_LIMIT = 3.0  # seconds for one name server, before the next is asked
_FIRST_TRY = 0.5  # the same, where others have not been asked yet: what it finds late, it knows when it is asked again
_CHAIN_LIMIT = 8  # questions for one answer, where name servers do not follow a CNAME themselves
_ALIAS_LIMIT = 16  # names in one answer, each an alias of the next
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds, between rounds of name servers; the last one repeats
_LONGEST_TTL = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    values: tuple[Value, ...]  # as `relayd.net.dns.records` reads them
    name: bytes  # whose records they are: at the end of CNAMEs, where there are any
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
        self._timeout = timeout.total_seconds()
        # Every name server gets two chances at least.
        try_for = min(_TRY_LIMIT, self._timeout / (2 * max(1, len(asked))))
        self._servers = [
            Nameserver(each, clock, try_for=try_for, is_trusted=trusts(each.host, trusted))
            for each in asked
        ]
        self._places = Places()

    @property
    def trusted(self) -> Sequence[HostPort]:
        """Return the name servers whose AD bit counts."""
        return [each.address for each in self._servers if each.is_trusted]

    def distrust(self, server: HostPort) -> None:
        """Let the AD bit of a name server count no longer, also in answers that are under way."""
        for each in self._servers:
            each.is_trusted = each.is_trusted and each.address != server

    async def ask(self, name: str, rdtype: str) -> Finding:
        """Return what the DNS has under `name`; takes `timeout` at most. Raises Shortage alone."""
        if not self._servers:
            return DnsFailure(reason="no name server is configured", fault=Fault.LOCAL)
        words = f"{rdtype} {name}"
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            place = await self._places.take(deadline)
            try:
                return await self._follow(as_wire(name), TYPES[rdtype], deadline, words)
            finally:
                self._places.give_back(place)
        except TimeoutError as late:
            return DnsFailure(
                reason=str(late) or f"no answer to {words} within {self._timeout:g} s"
            )

    async def _follow(self, name: bytes, rdtype: int, deadline: float, words: str) -> Finding:
        """Ask, and ask for the target of a CNAME again where the answer ends at it."""
        before: Finding | None = None
        for _ in range(_CHAIN_LIMIT):
            found, target = await self._query(Question.of(name, rdtype), deadline, words)
            found = _behind(before, found)
            if _is_definite(found) or target in (name, ROOT) or not _exists(found):
                return found
            name, before = target, found
        return DnsFailure(reason=f"too many CNAMEs behind {words}")

    async def _query(
        self, question: Question, deadline: float, words: str
    ) -> tuple[Finding, bytes]:
        """Return what one question gave, and the name at the end of its CNAMEs."""
        given = await self._first(question, deadline, words)
        if _is_definite(given[0]):
            return given
        for server in self._in_order():
            try:
                answer = await server.ask(question, deadline, proofs=True)
                better = read_finding(answer, question)
            except (TimeoutError, OSError, EOFError, Malformed):
                continue  # that it is silent now proves nothing either
            if better is not None and _is_definite(better[0]):
                return better
        return given

    def _in_order(self) -> list[Nameserver]:
        """Return the name servers in the order in which they are asked.

        None that is not trusted comes before the first one for its silence: who lets a question wait would switch off DANE.
        """
        servers = sorted(self._servers, key=lambda each: each.is_silent)
        if self._servers[0].is_trusted and not servers[0].is_trusted:
            servers = list(self._servers)
        servers[0].begin()
        return servers

    async def _first(
        self, question: Question, deadline: float, words: str
    ) -> tuple[Finding, bytes]:
        """Return the first usable answer, or what the last name server did when none has one.

        A name server that is silent is asked again, after the others. Raises TimeoutError at
        the deadline, by the loop's clock.
        """
        servers, pauses, said = self._in_order(), iter(_PAUSES), ""
        within = _FIRST_TRY if _may_be_short(servers) else _TRY_LIMIT
        while True:
            for server in tuple(servers):
                try:
                    answer = await server.ask(question, deadline, within=within)
                    found = read_finding(answer, question)
                except TimeoutError:
                    continue
                except (OSError, EOFError, Malformed) as exc:
                    failure = _blame(server.host, exc, words)
                else:
                    if found is not None:
                        return found
                    said = f"{server.host} answers {name_of(answer.rcode)} to {words}"
                    failure = DnsFailure(reason=said)
                    if answer.rcode == REFUSED and self._places.are_many:
                        self._places.spare()
                        continue  # it may say so to whatever it is asked now
                servers.remove(server)
                if not servers:
                    return failure, question.name
            within = _TRY_LIMIT
            await _sleep(next(pauses, _PAUSES[-1]), deadline, said)


def _may_be_short(servers: Sequence[Nameserver]) -> bool:
    """Tell whether the next one may be asked soon. To one that is not trusted, who is slow would hand over what is proven."""
    return len(servers) > 1 and servers[0].is_trusted <= min(each.is_trusted for each in servers)


async def _sleep(seconds: float, deadline: float, said: str) -> None:
    """Wait. Raises TimeoutError if the deadline comes before, with what was said last, if anything was."""
    left = deadline - asyncio.get_running_loop().time()
    await asyncio.sleep(min(seconds, left))
    if left <= seconds:
        raise TimeoutError(said)


def read_finding(answer: Answer, question: Question) -> tuple[Records | Nothing, bytes] | None:
    """Return what an answer says, and the name at the end of its CNAMEs; None for an error.

    Raises Malformed if it contradicts itself.
    """
    if answer.rcode not in (NOERROR, NXDOMAIN):
        return None
    exists, authenticated = answer.rcode == NOERROR, answer.is_authentic
    name, ttl = question.name, _LONGEST_TTL
    for _ in range(_ALIAS_LIMIT):
        values = answer.values.get(name)
        if values is not None:
            if not exists:
                raise Malformed
            return Records(
                values=tuple(dict.fromkeys(values)),
                name=name,
                complete=not answer.is_cut,
                ttl=min(ttl, answer.ttls[name]),
                authenticated=authenticated,
            ), name
        alias = answer.aliases.get(name)
        if alias is None:
            break
        name, ttl = alias[0], min(ttl, alias[1])
    else:
        raise Malformed
    # The SOA record of another zone is about other names; that of a zone below is not asked about
    # the name; and a zone does not deny its own name (RFC 2308 §2.1, §2.2).
    zones = [zone for zone in zones_of(name) if zone in answer.zones]
    if zones:
        ttl = min(ttl, answer.zones[zones[0]])
    return Nothing(
        exists=exists,
        proven=not answer.is_cut and any(exists or zone != name for zone in zones),
        ttl=ttl,
        authenticated=authenticated,
    ), name


def _is_definite(found: Finding) -> bool:
    return not isinstance(found, Nothing) or found.proven


def _exists(found: Finding) -> bool:
    return not isinstance(found, Nothing) or found.exists


def _behind(alias: Finding | None, found: Finding) -> Finding:
    """Return what was found behind an alias: it is no better and lasts no longer than that."""
    if not isinstance(alias, Nothing) or isinstance(found, DnsFailure):
        return found
    authenticated = alias.authenticated and found.authenticated
    return replace(found, ttl=min(alias.ttl, found.ttl), authenticated=authenticated)


def trusts(host: str, trusted: Collection[str]) -> bool:
    """Tell whether the AD bit of a name server counts: nobody can change it on the way."""
    ip = ip_address(host)
    return ip.is_loopback or str(ip) in trusted


def _blame(host: str, exc: Exception, words: str) -> DnsFailure:
    """Say what a name server did. Raises Shortage if it was not asked."""
    if not isinstance(exc, OSError):
        return DnsFailure(reason=f"{host} gives no usable answer to {words}")
    why = (exc.strerror or "no connection").lower()
    if is_shortage(exc):
        raise Shortage(f"no socket for the DNS: {why}") from exc
    fault = Fault.LOCAL if exc.errno in DENIED else Fault.DNS
    return DnsFailure(reason=f"{host} cannot be asked for {words}: {why}", fault=fault)

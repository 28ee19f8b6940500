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
_ASKED_AGAIN = 2  # times, where a name server refuses because it has too many questions
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
        loop, words = asyncio.get_running_loop(), f"{rdtype} {name}"
        began = loop.time()
        asking = _Asking(words, began + self._timeout)
        try:
            asking.place = await self._places.take(asking.deadline)
            try:
                return await self._follow(as_wire(name), TYPES[rdtype], asking)
            finally:
                self._places.give_back(asking.place)
        except TimeoutError:
            waited = round(loop.time() - began, 1)
            return DnsFailure(reason=asking.said or f"no answer to {words} within {waited:g} s")

    async def _follow(self, name: bytes, rdtype: int, asking: "_Asking") -> Finding:
        """Ask, and ask for the target of a CNAME again where the answer ends at it."""
        before: Finding | None = None
        for _ in range(_CHAIN_LIMIT):
            found, target = await self._query(Question.of(name, rdtype), asking)
            found = _behind(before, found)
            if _is_definite(found) or target in (name, ROOT) or not _exists(found):
                return found
            name, before = target, found
        return DnsFailure(reason=f"too many CNAMEs behind {asking.words}")

    async def _query(self, question: Question, asking: "_Asking") -> tuple[Finding, bytes]:
        """Return what one question gave, and the name at the end of its CNAMEs."""
        given = await self._first(question, asking)
        if _is_definite(given[0]):
            return given
        for server in self._in_order():
            try:
                answer = await server.ask(question, asking.deadline, proofs=True)
                better = read_finding(answer, question)
            except (TimeoutError, OSError, EOFError, Malformed):
                continue  # that it is silent now proves nothing either
            if better is not None and _is_definite(better[0]):
                return better
        return given

    def _in_order(self) -> list[Nameserver]:
        """Return the name servers in the order in which they are asked.

        None that is not trusted comes before one that is, for its silence: who lets a question wait would switch off DANE.
        """
        servers = self._servers
        if any(each.is_silent for each in servers):
            servers = _by_silence(servers)
        servers[0].begin()
        return list(servers)

    async def _first(self, question: Question, asking: "_Asking") -> tuple[Finding, bytes]:
        """Return the first usable answer, or what the last name server did when none has one.

        A name server that is silent is asked again, after the others. Raises TimeoutError at
        the deadline, by the loop's clock.
        """
        servers, pauses, within = self._in_order(), iter(_PAUSES), _FIRST_TRY
        while True:
            for server in tuple(servers):
                is_needed = len(servers) == 1 or _is_before_others(server, servers)
                try_for = _TRY_LIMIT if is_needed else within
                given = await self._try(server, question, asking, try_for)
                if isinstance(given, tuple):
                    return given
                if given is None:
                    continue
                if asking.is_too_many and is_needed:
                    if asking.may_ask_again():
                        break  # and no other one instead
                    return given, question.name
                servers.remove(server)
                if not servers:
                    return given, question.name
            if self._places.has_to_end(asking.place):
                raise TimeoutError
            within = _TRY_LIMIT
            await _sleep(next(pauses, _PAUSES[-1]), asking.deadline)

    async def _try(
        self, server: Nameserver, question: Question, asking: "_Asking", try_for: float
    ) -> tuple[Finding, bytes] | DnsFailure | None:
        """Return what one name server says, or why that is no answer; None: nothing in that time."""
        asking.is_too_many = False
        try:
            answer = await server.ask(question, asking.deadline, within=try_for)
            found = read_finding(answer, question)
        except TimeoutError:
            return None
        except (OSError, EOFError, Malformed) as exc:
            return _blame(server.host, exc, asking.words)
        # A refusal may be about the number of questions, and not about this one.
        asking.is_too_many = answer.rcode == REFUSED and self._places.are_many and server.does_well
        self._places.note(is_refusal=asking.is_too_many)
        if found is not None:
            return found
        asking.said = f"{server.host} answers {name_of(answer.rcode)} to {asking.words}"
        return DnsFailure(reason=asking.said)


@dataclass(slots=True)
class _Asking:
    """A question on its way through the name servers."""

    words: str
    deadline: float  # by the loop's clock
    place: object = None
    said: str = ""  # by the name server that answered last, if that was an error
    is_too_many: bool = False  # what it may have meant by that
    _again: int = _ASKED_AGAIN

    def may_ask_again(self) -> bool:
        self._again -= 1
        return self._again >= 0


def _by_silence(own: Sequence[Nameserver]) -> list[Nameserver]:
    """Put those that are silent last, but no trusted one behind one that is not and comes later among our `own`."""
    by_silence = sorted(own, key=lambda each: each.is_silent)
    servers: list[Nameserver] = []
    for each in by_silence:
        if not each.is_trusted:
            before = own[: own.index(each)]
            servers += [one for one in by_silence if one.is_trusted and one in before]
        servers.append(each)
    return list(dict.fromkeys(servers))  # each where it is first


def _is_before_others(server: Nameserver, servers: Sequence[Nameserver]) -> bool:
    """Tell whether a name server is trusted and one behind it is not: what it proves is to be waited for."""
    if not server.is_trusted:
        return False
    return any(not each.is_trusted for each in servers[servers.index(server) + 1 :])


async def _sleep(seconds: float, deadline: float) -> None:
    """Wait. Raises TimeoutError if the deadline comes before."""
    left = deadline - asyncio.get_running_loop().time()
    await asyncio.sleep(min(seconds, left))
    if left <= seconds:
        raise TimeoutError


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

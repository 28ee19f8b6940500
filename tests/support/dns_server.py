"""A name server on 127.0.0.1 for tests: UDP and TCP on one port, zones as data, able to misbehave.

    zones = {
        "a.test": {"MX": ["10 mx.a.test."]},
        "mx.a.test": {"A": ["192.0.2.1"], "AAAA": SERVFAIL},
        "sick.test": DROP,                              # whatever is asked
    }
    async with DnsServer(zones) as server:
        ...                                             # ask server.endpoint
        assert server.count("a.test", "MX") == 1

A name that is not listed is NXDOMAIN, a type that is not listed under a name is an empty answer,
both with a SOA record. CNAMEs are followed within the zones, as a recursive server does it. What
does not fit a datagram is cut short and comes whole by TCP. Instead of records, a name or a type
may have a behaviour:

    SERVFAIL, REFUSED, FORMERR, NOTIMP, YXDOMAIN    that response code
    EMPTY             no error, no records, no SOA
    NODATA            no error, no records, a SOA record: what a type that is not listed gets
    Negative("a.test. NS ns.b.test.", rcode=NXDOMAIN)    no records, and these in the authority section
    Cached(action)    EMPTY, as caches have it that keep no proofs; the action if asked with the DO bit
    DROP              no answer
    WRONG_ID, WRONG_QUESTION    the answer to a query that nobody made
    GARBAGE, COMPRESSION_LOOP   octets that are no message
    Raw(octets)       these octets behind the id of the query
    Lied(truth)       a forged answer with a wrong id, one to a wrong question, then the truth
    Extra(records, of, lies)    more records of other names, which nobody asked for
    Cut(action)       cut short by UDP, the action by TCP
    Alone(target)     a CNAME that is not followed
    Authentic(action) that action with the AD bit, where the question has it
    Ttl(seconds, records)       records with another TTL than that of the server
    Wait(event, action)         wait for an asyncio.Event first
    InTurn(a, b)      the first time this, the next time that; the last one repeats

`DnsServer(zones, to_edns=FORMERR)` does not know EDNS: queries with it get that behaviour, in an answer
without it. `DnsServer(zones, host=own_host(1), port=53)` is one that other servers' records can name. HANG_UP is a behaviour for TCP alone: the connection ends without an answer.
"""

import asyncio
import os
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from dns.message import QueryMessage
from dns.rcode import (
    BADVERS,
    FORMERR,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    YXDOMAIN,
    Rcode,
)

from relayd.settings import HostPort
from tests.support.ports import free_port

__all__ = [
    "BADVERS",
    "FORMERR",
    "NOTIMP",
    "NXDOMAIN",
    "REFUSED",
    "SERVFAIL",
    "YXDOMAIN",
]  # and what is defined here

TTL = 300  # seconds, of every record
NEGATIVE_TTL = 60  # the minimum field of every SOA record
SOA = f"ns.test. admin.test. 1 3600 600 86400 {NEGATIVE_TTL}"
_OTHER_ID, _OTHER_NAME = 0x5555, dns.name.from_text("other.test.")


def own_host(number: int) -> str:
    """Return an address on loopback that no other test process has."""
    pid = os.getpid()
    return f"127.{50 + number}.{pid >> 8 & 0xFF}.{pid & 0xFF}"


class Simple(Enum):
    """Behaviours without any details."""

    EMPTY = "empty"
    NODATA = "nodata"
    DROP = "drop"
    WRONG_ID = "wrong id"
    WRONG_QUESTION = "wrong question"
    HANG_UP = "hang up"


EMPTY, NODATA, DROP, WRONG_ID, WRONG_QUESTION, HANG_UP = Simple


@dataclass(frozen=True)
class Raw:
    octets: bytes


GARBAGE = Raw(b"\xff" * 40)
# One question of which the name is a pointer to itself, at octet 12.
COMPRESSION_LOOP = Raw(struct.pack("!HHHHHHHH", 0x8180, 1, 0, 0, 0, 0xC00C, 15, 1))


class Negative:
    """No records of the type asked for; `authority` in presentation format, without TTL and class."""

    def __init__(self, *authority: str, rcode: Rcode = NOERROR) -> None:
        self.authority = authority
        self.rcode = rcode


@dataclass(frozen=True)
class Cached:
    then: "Action"


@dataclass(frozen=True)
class Lied:
    truth: "Action"


@dataclass(frozen=True)
class Extra:
    records: Sequence[str]
    of: str
    lies: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Cut:
    then: "Action"


@dataclass(frozen=True)
class Alone:
    target: str


@dataclass(frozen=True)
class Ttl:
    seconds: int
    records: Sequence[str]


@dataclass(frozen=True)
class Authentic:
    """`then` with the AD bit, for those who ask for it (RFC 6840 §5.7)."""

    then: "Action"


@dataclass(frozen=True)
class Wait:
    event: asyncio.Event
    then: "Action"


class InTurn:
    """The first time the first action, and so on."""

    def __init__(self, *actions: "Action") -> None:
        self._actions = list(actions)

    def next(self) -> "Action":
        return self._actions.pop(0) if len(self._actions) > 1 else self._actions[0]


Behaviour = (
    Rcode
    | Simple
    | Raw
    | Negative
    | Cached
    | Lied
    | Extra
    | Cut
    | Alone
    | Ttl
    | Authentic
    | Wait
    | InTurn
)
Action = Sequence[str] | Behaviour
Zones = Mapping[str, Mapping[str, Action] | Behaviour]


class DnsServer:
    """Serves `zones`; keys are names in lower case without the final dot."""

    def __init__(
        self,
        zones: Zones,
        *,
        to_edns: Behaviour | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.zones = dict(zones)
        self._place = host, port or free_port()  # of both protocols, and no client's
        self.to_edns = to_edns
        self.queries: Counter[tuple[str, str]] = Counter()  # by name and type
        self.by_tcp = 0
        self.payloads: set[int] = set()  # the EDNS sizes that clients named; 0: one came without
        self.with_edns = 0  # queries
        self.in_flight = 0
        self.most_in_flight = 0
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve_tcp, *self._place)
        address = self._tcp.sockets[0].getsockname()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=address)
        self.endpoint = HostPort(host=address[0], port=address[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._udp.close()
        self._tcp.close()
        for task in self._tasks:
            task.cancel()
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        bugs = [one for one in done if isinstance(one, Exception)]
        if exc is None and bugs:
            raise bugs[0]

    def count(self, name: str, rdtype: str) -> int:
        """Return how often this was asked."""
        return self.queries[name, rdtype]

    async def until(self, condition: Callable[[], bool], *, within: float = 5) -> None:
        """Wait for a condition on what was counted."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    def start(self, wire: bytes, address: tuple[str, int], udp: asyncio.DatagramTransport) -> None:
        """Answer one datagram."""
        task = asyncio.get_running_loop().create_task(self._serve_udp(wire, address, udp))
        self._tasks.add(task)

    async def _serve_udp(
        self, wire: bytes, address: tuple[str, int], udp: asyncio.DatagramTransport
    ) -> None:
        for answer in await self._answers(wire, tcp=False):
            udp.sendto(answer, address)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            self.by_tcp += 1
            for answer in await self._answers(await reader.readexactly(length), tcp=True):
                writer.write(struct.pack("!H", len(answer)) + answer)
            await reader.read()  # until the client hangs up
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:  # the server stops; asyncio.streams would log it
            pass
        finally:
            writer.close()

    async def _answers(self, wire: bytes, *, tcp: bool) -> list[bytes]:
        query = dns.message.from_wire(wire)
        assert isinstance(query, QueryMessage)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        rdtype = dns.rdatatype.to_text(question.rdtype)
        self.queries[name, rdtype] += 1
        self.payloads.add(query.payload)
        self.with_edns += query.edns >= 0
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        async with self._changed:
            self._changed.notify_all()
        try:
            action = self._action(name, rdtype)
            if self.to_edns is not None and query.edns >= 0:
                query.use_edns(False)  # noqa: FBT003 -- the answer comes without it
                action = self.to_edns
            return await self._perform(action, query, tcp=tcp)
        finally:
            self.in_flight -= 1

    def _action(self, name: str, rdtype: str) -> Action | None:
        """What the zones say; None if it is plain records or their absence."""
        node = self.zones.get(name)
        if not isinstance(node, Mapping):
            return node
        alone = node.get("CNAME")
        action = alone if isinstance(alone, Alone) else node.get(rdtype)
        return None if isinstance(action, Sequence) else action

    async def _perform(
        self, action: Action | None, query: QueryMessage, *, tcp: bool
    ) -> list[bytes]:
        action = await _unwrapped(action, query, tcp=tcp)
        match action:
            case Lied(truth):
                lies = [_forged(query, WRONG_ID), _forged(query, WRONG_QUESTION)]
                return lies + await self._perform(truth, query, tcp=tcp)
            case Raw(octets):
                return [struct.pack("!H", query.id) + octets]
            case Simple.DROP:
                return []
            case Simple.HANG_UP:
                raise ConnectionAbortedError
            case Simple.WRONG_ID | Simple.WRONG_QUESTION:
                return [_forged(query, action)]
            case _:
                return [_rendered(self._response(action, query), query, tcp=tcp)]

    def _response(self, action: Action | None, query: QueryMessage) -> QueryMessage:
        """One whole message."""
        if isinstance(action, Authentic):
            response = self._response(action.then, query)
            response.flags |= query.flags & dns.flags.AD
            return response
        return self._filled(action, query)

    def _filled(self, action: Action | None, query: QueryMessage) -> QueryMessage:
        response = _response_to(query)
        name = query.question[0].name
        rdtype = dns.rdatatype.to_text(query.question[0].rdtype)
        match action:
            case Rcode() | Negative():
                _deny(response, action)
            case Cut():
                response.flags |= dns.flags.TC
            case Simple():
                response.authority += [_soa(name)] * (action is NODATA)  # EMPTY has none
            case Alone(target):
                _add(response, name.to_text(), "CNAME", [target])
            case Extra(records, of, lies):
                _add(response, name.to_text(), rdtype, records)
                for lie, texts in lies.items():
                    _add(response, of, lie, texts)
                    response.additional.append(response.answer[-1])
            case Ttl(seconds, records):
                _add(response, name.to_text(), rdtype, records, ttl=seconds)
            case None:
                self._look_up(name.to_text(omit_final_dot=True), rdtype, response)
            case _ if isinstance(action, Sequence):  # what InTurn, Wait and the like lead to
                _add(response, name.to_text(), rdtype, action)
            case _:
                raise AssertionError(f"not a behaviour here: {action!r}")
        return response

    def _look_up(self, name: str, rdtype: str, response: QueryMessage) -> None:
        """Fill in the records of a name, over its CNAMEs; a loop of them ends where it closes."""
        seen: set[str] = set()
        while name not in seen:
            seen.add(name)
            node = self.zones.get(name)
            if isinstance(node, Rcode):
                response.set_rcode(node)
                return
            records = node.get(rdtype) if isinstance(node, Mapping) else None
            if isinstance(records, Sequence):
                _add(response, f"{name.removesuffix('.')}.", rdtype, records)
                return
            target = node.get("CNAME") if isinstance(node, Mapping) else None
            if not isinstance(target, Sequence):
                if node is None:
                    response.set_rcode(dns.rcode.NXDOMAIN)
                response.authority.append(_soa(dns.name.from_text(name)))
                return
            _add(response, f"{name}.", "CNAME", target)
            name = target[0].removesuffix(".")


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.start(data, addr, self._transport)  # type: ignore[arg-type] # uvloop's


async def _unwrapped(action: Action | None, query: QueryMessage, *, tcp: bool) -> Action | None:
    """Return what an action that only says when leads to."""
    while True:
        match action:
            case Wait(event, then):
                await event.wait()
                action = then
            case InTurn():
                action = action.next()
            case Cut(then) if tcp:
                action = then
            case Cached(then):
                action = then if query.ednsflags & dns.flags.DO else EMPTY
            case _:
                return action


def _response_to(query: QueryMessage) -> QueryMessage:
    response = dns.message.make_response(query, recursion_available=True)
    assert isinstance(response, QueryMessage)
    return response


def _add(
    response: QueryMessage, name: str, rdtype: str, texts: Sequence[str], *, ttl: int = TTL
) -> None:
    response.answer.append(dns.rrset.from_text(name, ttl, "IN", rdtype, *texts))


def _deny(response: QueryMessage, how: Rcode | Negative) -> None:
    if isinstance(how, Rcode):
        how = Negative(rcode=how)
    response.set_rcode(how.rcode)
    for text in how.authority:
        owner, kind, value = text.split(" ", 2)
        response.authority.append(dns.rrset.from_text(owner, TTL, "IN", kind, value))


def _soa(name: dns.name.Name) -> dns.rrset.RRset:
    """Return the SOA record of the zone that denies something about `name`: its top-level domain."""
    return dns.rrset.from_text(dns.name.Name(name.labels[-2:]), TTL, "IN", "SOA", SOA)


def _forged(query: QueryMessage, how: Simple) -> bytes:
    """Return an answer that sends everything to 203.0.113.66, but does not fit the query."""
    response = _response_to(query)
    question = query.question[0]
    if how is WRONG_ID:
        response.id = query.id ^ _OTHER_ID
    else:
        response.question = [dns.rrset.RRset(_OTHER_NAME, question.rdclass, question.rdtype)]
    lie = {"MX": "0 evil.test.", "A": "203.0.113.66", "AAAA": "2001:db8::66"}
    rdtype = dns.rdatatype.to_text(question.rdtype)
    _add(response, question.name.to_text(), rdtype, [lie[rdtype]])
    return response.to_wire()


def _rendered(response: QueryMessage, query: QueryMessage, *, tcp: bool) -> bytes:
    """Return the octets; only the header and the question, if a datagram cannot hold them."""
    try:
        return response.to_wire(max_size=65535 if tcp else max(512, query.payload))
    except dns.exception.TooBig:
        cut = _response_to(query)
        cut.flags |= dns.flags.TC
        return cut.to_wire()

"""An answer of the DNS: read as dnspython reads it, and whatever it is, in time.

The first octet says what was asked. dnspython is stricter in places: it reads every record, also those
that are of no use. So what it refuses may be read; what it reads has to be read the same.
"""

import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from relayd.net.dns.lookup import Nothing, Records, read_finding
from relayd.net.dns.message import RECORD_LIMIT, Answer, Question, Truncated, read
from relayd.net.dns.names import Malformed, as_text, as_wire
from relayd.net.dns.records import TYPES
from tests.support.processor import took_by

TOKENS = (
    *(b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00", b"\x81\x83\x00\x01\x00\x00\x00\x01\x00\x00"),
    *(
        b"\x01a\x04test\x00",
        b"\xc0\x0c",
        b"\x00\x0f\x00\x01",
        b"\x00\x01\x00\x01",
        b"\x01b\xc0\x0c",
    ),
    *(b"\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x04", b"\x00\x06\x00\x01", b"\x00\x34\x00\x01"),
    b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00",
)
QUESTIONS = tuple(Question.of(as_wire("a.test"), each) for each in TYPES.values())
_TIME = 0.05  # seconds of the processor that are too many, under a fuzzer's eyes

Known = tuple[Any, ...]
Read = Answer | Exception | tuple[Records | Nothing, bytes]


def check(octets: bytes) -> None:
    if not octets:
        return
    question = QUESTIONS[octets[0] % len(QUESTIONS)]
    check_answer(question, b"\x12\x34" + octets[1:])


def check_answer(question: Question, wire: bytes) -> None:
    found = _read_in_time(question, wire)
    expected = oracle(question, wire)
    if expected is not None:
        assert known(found) == expected


def known(found: Read) -> Known:
    """What was read, as the oracle says it."""
    match found:
        case (Records() as records, name):
            values = tuple(records.values)
            return ("records", as_text(name), values, records.ttl, records.authenticated)
        case (Nothing() as nothing, name):
            return ("nothing", as_text(name), nothing.exists, nothing.proven, nothing.authenticated)
        case Answer():
            return ("rcode", found.rcode, found.has_edns)
        case _:
            return (type(found).__name__,)


def _read_in_time(question: Question, wire: bytes) -> Read:
    found: list[Read] = []

    def work() -> None:
        try:
            answer = read(wire, question)
            found.append(read_finding(answer, question) or answer)
        except (Malformed, Truncated) as exc:
            found.append(exc)

    assert took_by(work, _TIME) < _TIME, f"{len(wire)} octets"
    return found[-1]


def oracle(question: Question, wire: bytes) -> Known | None:
    """What dnspython makes of an answer, the records behind the limit left unread; None if it refuses it."""
    wire, is_cut = _shortened(wire)
    try:
        message = dns.message.from_wire(wire, one_rr_per_rrset=True, ignore_trailing=is_cut)
    except Exception:  # noqa: BLE001 -- whatever the library makes of it
        return None
    name, rdtype = dns.name.from_wire(question.name, 0)[0], question.rdtype
    asked = dns.message.make_query(name, dns.rdatatype.RdataType(rdtype), id=message.id)
    if not asked.is_response(message):
        return ("Malformed",)
    if message.flags & dns.flags.TC:
        return ("Truncated",)
    if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return ("rcode", int(message.rcode()), message.edns >= 0)
    return _finding(message, name, rdtype)


def _shortened(wire: bytes) -> tuple[bytes, bool]:
    """Lower the counts in the header; tell whether that was necessary."""
    if len(wire) < 12:
        return wire, False
    counts, left = [], RECORD_LIMIT
    stated = struct.unpack_from("!HHH", wire, 6)
    for count in stated:
        counts.append(min(count, left))
        left -= counts[-1]
    return wire[:6] + struct.pack("!HHH", *counts) + wire[12:], tuple(counts) != stated


def _finding(message: dns.message.Message, name: dns.name.Name, rdtype: int) -> Known | None:
    ttl, exists = 2**31 - 1, message.rcode() == dns.rcode.NOERROR
    authenticated = bool(message.flags & dns.flags.AD)
    for _ in range(16):
        found = list(_of(message.answer, name, rdtype))
        if found:
            if not exists:
                return ("Malformed",)
            values = tuple(dict.fromkeys(_value(each[0]) for each in found))
            ttl = min(ttl, *(each.ttl for each in found))
            return ("records", _text(name), values, ttl, authenticated)
        aliases = list(_of(message.answer, name, dns.rdatatype.CNAME))
        if not aliases:
            break
        name, ttl = aliases[-1][0].target, min(ttl, aliases[-1].ttl)
    else:
        return ("Malformed",)
    zones = {each.name for each in message.authority if _is_of(each, dns.rdatatype.SOA)}
    proven = any(name.is_subdomain(zone) and (exists or zone != name) for zone in zones)
    return ("nothing", _text(name), exists, proven, authenticated)


def _of(
    section: Sequence[dns.rrset.RRset], name: dns.name.Name, rdtype: int
) -> Iterator[dns.rrset.RRset]:
    return (each for each in section if each.name == name and _is_of(each, rdtype))


def _is_of(rrset: dns.rrset.RRset, rdtype: int) -> bool:
    return rrset.rdclass == dns.rdataclass.IN and rrset.rdtype == rdtype


def _text(name: dns.name.Name) -> str:
    text = name.to_text(omit_final_dot=True)
    return "" if name == dns.name.root else text.lower()


def _value(rdata: Any) -> Any:
    """A record as `relayd.net.dns.records` has it."""
    match dns.rdatatype.to_text(rdata.rdtype):
        case "A" | "AAAA":
            return ip_address(rdata.address)
        case "MX":
            return rdata.preference, _text(rdata.exchange)
        case "CNAME" | "PTR" | "NS":
            return _text(rdata.target)
        case "TXT":
            return b"".join(rdata.strings)
        case "SOA":
            return rdata.minimum
        case _:
            return rdata.usage, rdata.selector, rdata.mtype, rdata.cert

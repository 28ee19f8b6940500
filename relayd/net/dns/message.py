"""DNS messages to the octet: a question is built, and what a mail relay needs of an answer is read.

No general message is made. Of an answer, the records of the type that was asked, CNAME records and the
SOA records of negative answers are read; all others are stepped over by their length.

What an answer costs is bounded, also a hostile one (A-62): `RECORD_LIMIT` records are looked at, and a
name is bounded in octets and pointers (`names`).

Sources: RFC 1035 §4.1; RFC 2181 §8 (TTL); RFC 2308 §5 (negative TTL); RFC 3225 (DO); RFC 6840 §5.7 (AD
in questions); RFC 6891 §6.1 (EDNS).
"""

import struct
from dataclasses import dataclass, field
from enum import Enum

from relayd.net.dns.names import Malformed, read_name, skip_name
from relayd.net.dns.records import CNAME, OPT, READERS, SOA, Value, read_minimum, read_target

RECORD_LIMIT = 50  # looked at in one answer
DATAGRAM_LIMIT = 1232  # octets that pass every path unfragmented
_IN = 1
_LONGEST_TTL = 2**31 - 1

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
_MAY_LACK_QUESTION = (FORMERR, SERVFAIL, NOTIMP, REFUSED)
_RCODES = {
    FORMERR: "FORMERR",
    SERVFAIL: "SERVFAIL",
    NXDOMAIN: "NXDOMAIN",
    NOTIMP: "NOTIMP",
    REFUSED: "REFUSED",
    6: "YXDOMAIN",
    9: "NOTAUTH",
    BADVERS: "BADVERS",
}

_QR, _OPCODE, _TC, _RD, _AD = 0x8000, 0x7800, 0x0200, 0x0100, 0x0020
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")  # type, class, TTL, length
_OPTION = struct.Struct("!BHHIH")  # the root, type, size of datagrams, flags, length
_START, _START_WITH_OPTION = (
    struct.pack("!HHHHH", _RD | _AD, 1, 0, 0, options) for options in (0, 1)
)
_QUESTION_AT = _HEADER.size
_TO_QUESTION = bytes([0xC0, _QUESTION_AT])  # a pointer


class Edns(Enum):
    """Of a query; the value is the record."""

    NONE = b""
    USED = _OPTION.pack(0, OPT, DATAGRAM_LIMIT, 0, 0)
    PROOFS = _OPTION.pack(0, OPT, DATAGRAM_LIMIT, 0x8000, 0)  # DO: with the records of DNSSEC


class Truncated(Exception):
    """The answer is longer than a datagram; to be asked for by TCP."""


@dataclass(frozen=True, slots=True)
class Question:
    name: bytes  # as `names` has it
    rdtype: int
    wire: bytes  # the section

    @classmethod
    def of(cls, name: bytes, rdtype: int) -> "Question":
        return cls(name, rdtype, name + struct.pack("!HH", rdtype, _IN))


@dataclass(slots=True)
class Answer:
    """What is of use in a message."""

    rcode: int = NOERROR
    has_edns: bool = False
    is_authentic: bool = False  # it has the AD bit
    is_cut: bool = False  # records of the answer or the authority section were left unread
    values: dict[bytes, list[Value]] = field(
        default_factory=dict
    )  # by owner, of the type asked for
    ttls: dict[bytes, int] = field(
        default_factory=dict
    )  # seconds, the least of each owner's values
    aliases: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)  # target and TTL
    zones: dict[bytes, int] = field(
        default_factory=dict
    )  # of SOA records: for how long they say no


def name_of(rcode: int) -> str:
    return _RCODES.get(rcode, f"RCODE{rcode}")


def build(question: Question, id_: bytes, edns: Edns) -> bytes:
    """Return a query with an id of two octets."""
    start = _START if edns is Edns.NONE else _START_WITH_OPTION
    return id_ + start + question.wire + edns.value


def read(wire: bytes, question: Question) -> Answer:
    """Return the answer to a question; whether its id is right has been seen already.

    Raises Truncated; Malformed also for the answer to another question.
    """
    try:
        return _read(wire, question)
    except (struct.error, IndexError):  # it ends too early
        raise Malformed from None


def _read(wire: bytes, question: Question) -> Answer:
    _, flags, questions, *counts = _HEADER.unpack_from(wire)
    if flags & (_QR | _OPCODE) != _QR:
        raise Malformed
    rcode, at = flags & 15, _QUESTION_AT
    if questions == 1 and wire[at : at + len(question.wire)].lower() == question.wire:
        at += len(question.wire)
    elif questions or rcode not in _MAY_LACK_QUESTION:
        raise Malformed
    if flags & _TC:
        raise Truncated
    answer = Answer(rcode=rcode, is_authentic=bool(flags & _AD))
    left = RECORD_LIMIT
    for count, read_one in zip(counts, (_answered, _authority, _additional), strict=True):
        for _ in range(min(count, left)):
            at = read_one(wire, at, question, answer)
        left -= count
        if left < 0:
            answer.is_cut = read_one is not _additional
            return answer
    if at != len(wire):
        raise Malformed
    return answer


def _answered(wire: bytes, at: int, question: Question, answer: Answer) -> int:
    """Take in one record of the answer section; return where the next one begins."""
    if wire[at : at + 2] == _TO_QUESTION:  # nearly always
        owner, at = question.name, at + 2
    else:
        owner, at = read_name(wire, at)
    rdtype, rdclass, ttl, at, end = _fixed(wire, at)
    if rdclass == _IN and rdtype == question.rdtype:
        answer.values.setdefault(owner, []).append(READERS[rdtype](wire, at, end))
        answer.ttls[owner] = min(_seconds(ttl), answer.ttls.get(owner, _LONGEST_TTL))
    elif rdclass == _IN and rdtype == CNAME:
        answer.aliases[owner] = (read_target(wire, at, end), _seconds(ttl))
    return end


def _authority(wire: bytes, at: int, _: Question, answer: Answer) -> int:
    owner, at = read_name(wire, at)
    rdtype, rdclass, ttl, at, end = _fixed(wire, at)
    if rdclass == _IN and rdtype == SOA:
        answer.zones[owner] = min(_seconds(ttl), read_minimum(wire, at, end))
    return end


def _additional(wire: bytes, at: int, _: Question, answer: Answer) -> int:
    at = skip_name(wire, at)
    rdtype, _size, flags, _data, end = _fixed(wire, at)
    if rdtype == OPT:
        answer.has_edns = True
        answer.rcode |= flags >> 24 << 4
    return end


def _fixed(wire: bytes, at: int) -> tuple[int, int, int, int, int]:
    """Return type, class and TTL of a record, and where its data begin and end."""
    rdtype, rdclass, ttl, length = _RECORD.unpack_from(wire, at)
    at += _RECORD.size
    if at + length > len(wire):
        raise Malformed
    return rdtype, rdclass, ttl, at, at + length


def _seconds(ttl: int) -> int:
    """Return the TTL; one with the highest bit is none (RFC 2181 §8)."""
    return ttl if ttl <= _LONGEST_TTL else 0

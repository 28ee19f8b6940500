"""Answers of the DNS: what hostile and broken ones cost, and what good ones say, beside dnspython."""

import struct

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.net.dns.message import (
    RECORD_LIMIT,
    Answer,
    Edns,
    Question,
    Truncated,
    build,
    name_of,
    read,
)
from relayd.net.dns.names import Malformed, as_text, as_wire, read_name, zones_of
from relayd.net.dns.records import TYPES
from tests.fuzz.answer import QUESTIONS, check_answer, oracle

MX_OF_A = Question.of(as_wire("a.test"), TYPES["MX"])
HEADER = struct.Struct("!HHHHHH")
TO_QUESTION = b"\xc0\x0c"


def a_message(
    *records: bytes, flags: int = 0x8180, counts: tuple[int, int, int] | None = None
) -> bytes:
    """An answer to the question for the mail hosts of a.test, with these answer records."""
    counts = counts or (len(records), 0, 0)
    return HEADER.pack(1, flags, 1, *counts) + MX_OF_A.wire + b"".join(records)


def a_record(
    data: bytes, *, owner: bytes = TO_QUESTION, rdtype: int = 15, length: int = -1
) -> bytes:
    size = len(data) if length < 0 else length
    return owner + struct.pack("!HHIH", rdtype, 1, 300, size) + data


GOOD = a_record(b"\0\x0a\x01b" + TO_QUESTION)


@pytest.mark.parametrize("edns", list(Edns))
@pytest.mark.parametrize("rdtype", TYPES)
def test_a_query_is_what_dnspython_writes(edns: Edns, rdtype: str) -> None:
    query = dns.message.make_query("a-b.test", rdtype, id=0x1234, flags=dns.flags.RD | dns.flags.AD)
    if edns is not Edns.NONE:
        query.use_edns(0, dns.flags.DO if edns is Edns.PROOFS else 0, 1232)
    question = Question.of(as_wire("a-b.test"), TYPES[rdtype])
    assert build(question, b"\x12\x34", edns) == query.to_wire()


def test_a_good_answer() -> None:
    answer = read(a_message(GOOD), MX_OF_A)
    assert answer == Answer(values={MX_OF_A.name: [(10, "b.a.test")]}, ttls={MX_OF_A.name: 300})


@pytest.mark.parametrize("at", range(len(a_message(GOOD))))
def test_an_answer_that_ends_too_early_is_none(at: int) -> None:
    with pytest.raises(Malformed):
        read(a_message(GOOD)[:at], MX_OF_A)


BROKEN = {
    "octets behind the end": a_message(GOOD) + b"\0",
    "fewer records than it says": a_message(GOOD, counts=(2, 0, 0)),
    "more records than it says": a_message(GOOD, GOOD, counts=(1, 0, 0)),
    "records only said": a_message(counts=(0xFFFF, 0xFFFF, 0xFFFF)),
    "a query": a_message(GOOD, flags=0x0180),
    "another opcode": a_message(GOOD, flags=0xA980),
    "no question": HEADER.pack(1, 0x8180, 0, 1, 0, 0) + GOOD,
    "two questions": HEADER.pack(1, 0x8180, 2, 1, 0, 0) + MX_OF_A.wire * 2 + GOOD,
    "another name": HEADER.pack(1, 0x8180, 1, 0, 0, 0) + Question.of(as_wire("b.test"), 15).wire,
    "another type": HEADER.pack(1, 0x8180, 1, 0, 0, 0) + Question.of(as_wire("a.test"), 1).wire,
    "a pointer to itself": a_message(a_record(b"\0\x0a" + b"\xc0\x26")),
    "a pointer forward": a_message(a_record(b"\0\x0a\xc0\x28\x01b\0")),
    "two pointers to each other": a_message(a_record(b"", owner=b"\xc0\x1a\xc0\x18")),
    "a pointer behind the end": a_message(a_record(b"\0\x0a\xff\xff")),
    "an unknown kind of label": a_message(a_record(b"\0\x0a\x41b\0")),
    "data longer than they say": a_message(a_record(b"\0\x0a\x01b\0", length=4)),
    "data shorter than they say": a_message(a_record(b"\0\x0a\x01b\0\0")),
    "data that go beyond the end": a_message(a_record(b"\0\x0a\x01b\0", length=500)),
    "no data": a_message(a_record(b"")),
    "a name of 256 octets": a_message(a_record(b"\0\x0a" + b"\x3f" + b"x" * 63) * 4),
    "a broken alias": a_message(a_record(b"\x01", rdtype=5)),
}


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_none(wire: bytes) -> None:
    with pytest.raises(Malformed):
        read(wire, MX_OF_A)


@pytest.mark.parametrize(
    ("rdtype", "data"),
    [
        *(("A", b"\x7f\0\0"), ("A", b"\x7f\0\0\1\0"), ("AAAA", b"\0" * 15)),
        *(("TXT", b""), ("TXT", b"\x05abc"), ("TLSA", b"\3\1")),
        *(("SOA", b"\0\0" + b"\0" * 19), ("SOA", b"\0\0" + b"\0" * 21), ("PTR", b"\0\0")),
    ],
)
def test_data_of_another_shape_are_no_record(rdtype: str, data: bytes) -> None:
    question = Question.of(as_wire("a.test"), TYPES[rdtype])
    wire = HEADER.pack(1, 0x8180, 1, 1, 0, 0) + question.wire
    with pytest.raises(Malformed):
        read(wire + a_record(data, rdtype=question.rdtype), question)


def test_what_dane_cannot_use_is_read_all_the_same() -> None:
    """A digest of a wrong length, numbers that nobody knows: an answer, and not a failed lookup."""
    question = Question.of(as_wire("a.test"), TYPES["TLSA"])
    wire = HEADER.pack(1, 0x8180, 1, 2, 0, 0) + question.wire
    wire += a_record(b"\3\1\1", rdtype=52) + a_record(b"\xff\xfe\xfd\0", rdtype=52)
    answer = read(wire, question)
    assert answer.values[question.name] == [(3, 1, 1, b""), (255, 254, 253, b"\0")]


def test_records_that_are_of_no_use_are_stepped_over() -> None:
    others = [a_record(b"\xff" * 9, rdtype=each) for each in (1, 16, 46, 65280)]
    assert read(a_message(*others, GOOD), MX_OF_A).values == {MX_OF_A.name: [(10, "b.a.test")]}


def test_an_answer_cut_short_is_read_no_further() -> None:
    with pytest.raises(Truncated):
        read(a_message(b"\xff" * 5, flags=0x8380), MX_OF_A)


@pytest.mark.parametrize("in_answer", [True, False])
def test_records_behind_the_limit_are_not_read(*, in_answer: bool) -> None:
    """A-62."""
    count = RECORD_LIMIT + 1
    counts = (count, 0, 0) if in_answer else (0, count, 0)
    answer = read(a_message(*[GOOD] * RECORD_LIMIT, b"\xff" * 7, counts=counts), MX_OF_A)
    assert answer.is_cut


def test_additional_records_behind_the_limit_do_not_matter() -> None:
    wire = a_message(GOOD, *[GOOD] * RECORD_LIMIT, counts=(1, 0, RECORD_LIMIT))
    assert not read(wire, MX_OF_A).is_cut


def test_a_ttl_with_the_highest_bit_is_none() -> None:
    """RFC 2181 §8."""
    record = TO_QUESTION + struct.pack("!HHIH", 15, 1, 2**31, 3) + b"\0\x0a\0"
    assert read(a_message(record), MX_OF_A).ttls == {MX_OF_A.name: 0}


def test_a_response_code_of_edns() -> None:
    """RFC 6891 §6.1.3."""
    option = b"\0" + struct.pack("!HHIH", 41, 1232, 1 << 24, 0)
    answer = read(a_message(option, counts=(0, 0, 1)), MX_OF_A)
    assert (answer.rcode, answer.has_edns) == (16, True)
    assert name_of(answer.rcode) == "BADVERS"
    assert name_of(23) == "RCODE23"


def test_a_question_comes_back_in_any_case() -> None:
    wire = a_message(GOOD)
    assert read(wire.replace(b"\x01a\x04test", b"\x01A\x04tEst"), MX_OF_A).values


# names


def test_a_name_may_have_as_many_pointers_as_labels() -> None:
    ladder = b"\0" + b"".join(struct.pack("!H", 0xC000 | at) for at in (0, *range(1, 301, 2)))
    name, _ = read_name(ladder, 1 + 2 * 126)
    assert name == b"\0"
    with pytest.raises(Malformed):
        read_name(ladder, 1 + 2 * 127)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ((b"a", b"test"), "a.test"),
        ((b"_25", b"_tcp", b"a"), "_25._tcp.a"),
        ((b"a.b", b"test"), r"a\.b.test"),
        ((b"a\0 \xff",), r"a\000\032\255"),
        ((), ""),
    ],
)
def test_a_name_for_people(labels: tuple[bytes, ...], text: str) -> None:
    wire = b"".join(bytes([len(each)]) + each for each in labels) + b"\0"
    assert as_text(wire) == text


def test_the_zones_that_a_name_can_be_in() -> None:
    assert [as_text(each) for each in zones_of(as_wire("x.a.test"))] == [
        "x.a.test",
        "a.test",
        "test",
        "",
    ]


# beside dnspython

NAMES = [
    "a.test.",
    "A.tesT.",
    "b.test.",
    "x.a.test.",
    "test.",
    ".",
    r"a\.b.test.",
    r"\000\255.test.",
]
LABEL = st.binary(min_size=1, max_size=63)
NAME = st.sampled_from(NAMES) | st.lists(LABEL, max_size=3).map(
    lambda found: dns.name.Name([*found, b""]).to_text()
)
DATA = {
    "A": st.ip_addresses(v=4).map(str),
    "AAAA": st.ip_addresses(v=6).map(str),
    "MX": st.tuples(st.integers(0, 65535), NAME).map(lambda found: f"{found[0]} {found[1]}"),
    "CNAME": NAME,
    "PTR": NAME,
    "NS": NAME,
    "TXT": st.lists(st.binary(max_size=9), min_size=1, max_size=3).map(
        lambda found: " ".join(
            '"' + "".join(f"\\{each:03d}" for each in one) + '"' for one in found
        )
    ),
    "SOA": st.integers(0, 2**32 - 1).map(lambda minimum: f"ns.test. x.test. 1 2 3 4 {minimum}"),
    "TLSA": st.binary(min_size=32, max_size=32).map(lambda digest: f"3 1 1 {digest.hex()}"),
}


@st.composite
def messages(draw: st.DrawFn) -> tuple[Question, bytes]:
    """A question, and an answer to it with records that have to do with it and others."""
    question = draw(st.sampled_from(QUESTIONS))
    [asked] = [name for name, number in TYPES.items() if number == question.rdtype]
    query = dns.message.make_query("a.test.", asked, use_edns=draw(st.sampled_from([-1, 0])))
    response = dns.message.make_response(query)
    rcode = draw(st.sampled_from(["NOERROR"] * 4 + ["NXDOMAIN", "SERVFAIL", "REFUSED"]))
    response.set_rcode(dns.rcode.from_text(rcode))
    if draw(st.booleans()):
        response.flags |= dns.flags.AD
    for section in (response.answer, response.authority, response.additional):
        for _ in range(draw(st.integers(0, 4))):
            rdtype = draw(st.sampled_from([asked, asked, "CNAME", "SOA", *DATA]))
            ttl = draw(st.integers(0, 2**31 - 1))
            owner = draw(st.sampled_from(NAMES))
            section.append(dns.rrset.from_text(owner, ttl, "IN", rdtype, draw(DATA[rdtype])))
    return question, response.to_wire()


@given(messages())
def test_an_answer_says_what_dnspython_reads_in_it(made: tuple[Question, bytes]) -> None:
    question, wire = made
    assert oracle(question, wire) is not None
    check_answer(question, wire)


@given(messages(), st.data())
def test_a_damaged_answer_is_read_as_by_dnspython_or_not_at_all(
    made: tuple[Question, bytes], data: st.DataObject
) -> None:
    question, wire = made
    damaged = bytearray(wire)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(2, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255) | st.sampled_from([0, 0x0C, 0x3F, 0xC0, 0xFF]))
    end = data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))
    check_answer(question, bytes(damaged[:end]))


@given(st.sampled_from(QUESTIONS), st.binary(max_size=300))
def test_any_octets_are_read_in_time(question: Question, octets: bytes) -> None:
    check_answer(question, octets)


HOSTILE = {
    "names of many pointers": b"".join(
        a_record(b"\0\x0a" + struct.pack("!H", 0xC000 | at)) for at in range(28, 12000, 16)
    ),
    "names of many labels": b"".join(
        a_record(b"\0\x0a" + b"\1x" * 125 + b"\0") for _ in range(240)
    ),
    "owners of many labels": b"".join(
        a_record(b"\0\x0a\0", owner=b"\1x" * 125 + b"\0") for _ in range(240)
    ),
    "texts of no octets": a_record(b"\0" * 65000, rdtype=16),
    "aliases": b"".join(
        a_record(b"\1" + bytes([n + 1]) + b"\0", owner=b"\1" + bytes([n]) + b"\0", rdtype=5)
        for n in range(200)
    ),
}


@pytest.mark.parametrize("records", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("question", [QUESTIONS[4], QUESTIONS[5]], ids=["MX", "TXT"])
def test_hostile_answers_are_read_in_time(records: bytes, question: Question) -> None:
    """64 KB that are made to be expensive; the check is on the time of the processor."""
    wire = HEADER.pack(0x1234, 0x8180, 1, 0xFFFF, 0, 0) + question.wire + records
    check_answer(question, wire[:65535])
    check_answer(question, HEADER.pack(0x1234, 0x8180, 1, 1, 0, 0) + wire[12:65535])

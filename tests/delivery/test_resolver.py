"""From a domain to the addresses of its mail hosts: resolver and policy over a real name server."""

import asyncio
import errno
import gc
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from dns.rcode import Rcode

from relayd.errors import Shortage
from relayd.mail.attempt import Breakdown
from relayd.mail.dns import (
    Addresses,
    DnsFailure,
    ImplicitMx,
    MxHost,
    MxHosts,
    NoSuchDomain,
)
from relayd.mail.words import Category, Fault
from relayd.net.dns import lookup, places
from relayd.net.dns.cache import DnsCache, keep_for
from relayd.net.dns.lookup import Finding, Nothing, Records
from relayd.net.dns.message import RECORD_LIMIT, Question, read
from relayd.net.dns.nameserver import LAST_FOR, PLAIN_FOR
from relayd.net.dns.resolver import DnsResolver
from relayd.net.dns.system import system_nameservers
from relayd.policy.delivery.mx import (
    Candidates,
    HostPlan,
    MxRules,
    Undeliverable,
    choose,
    plan_hosts,
)
from relayd.ports.outward import Resolver
from relayd.settings import HostPort
from tests.support.clock import FakeClock
from tests.support.dns_server import (
    BADVERS,
    COMPRESSION_LOOP,
    DROP,
    EMPTY,
    FORMERR,
    GARBAGE,
    HANG_UP,
    NEGATIVE_TTL,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    SOA,
    TTL,
    WRONG_ID,
    WRONG_QUESTION,
    YXDOMAIN,
    Alone,
    Authentic,
    Behaviour,
    Cached,
    Cut,
    DnsServer,
    Extra,
    InTurn,
    Lied,
    Negative,
    Raw,
    Ttl,
    Wait,
    Zones,
)
from tests.support.networks import DOCUMENTATION
from tests.support.ports import free_port
from tests.support.post import eventually
from tests.support.shortage import no_descriptors

PATIENCE = timedelta(seconds=5)  # more than any answer takes
IMPATIENCE = timedelta(seconds=0.3)  # where there is none to come
RULES = MxRules(
    own_names=frozenset({"relay.test"}),
    own_addresses=frozenset({ip_address("198.51.100.1")}),
    allow_networks=DOCUMENTATION,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Ending = Candidates | Undeliverable | Breakdown


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a coroutine on either event loop."""
    factory = asyncio.new_event_loop
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


def a_resolver(
    *servers: DnsServer, timeout: timedelta = PATIENCE, clock: FakeClock | None = None
) -> DnsResolver:
    endpoints = [server.endpoint for server in servers]
    return DnsResolver(nameservers=endpoints, timeout=timeout, clock=clock or FakeClock())


async def look_up(resolver: Resolver, domain: str) -> Ending:
    """What direct delivery does with a domain before it connects."""
    plan = plan_hosts(domain, await resolver.mx(domain), RULES, chance=lambda: 0.0)
    if not isinstance(plan, HostPlan):
        return plan
    found = {host.name: await resolver.addresses(host.name) for host in plan.hosts}
    return choose(plan, found, RULES)


def seen(ending: Ending) -> str:
    """The ending in short: the addresses, the status, or "unreachable"."""
    match ending:
        case Candidates(candidates=candidates):
            return " ".join(one.ip for one in candidates)
        case Undeliverable(status=status, reason=reason, needs_second_look=in_doubt):
            assert is_clean(reason)
            return f"{status} if found again" if in_doubt else status
        case Breakdown(category=category, fault=fault, reason=reason):
            assert (category, fault) == (Category.DNS_FAILURE, Fault.DNS)
            assert is_clean(reason)
            return "unreachable"


def is_clean(reason: str) -> bool:
    return reason.isascii() and reason.isprintable() and "Error" not in reason and "<" not in reason


B1: Zones = {"b.test": {"A": ["192.0.2.1"]}}
MX_B = ["10 b.test."]


def mx(*records: str) -> Zones:
    """A domain with MX records, and b.test with the address 192.0.2.1."""
    return {"a.test": {"MX": list(records)}, **B1}


def to(ip: str, rdtype: str = "A") -> Zones:
    """A domain with one mail host, which has one address."""
    return {"a.test": {"MX": MX_B}, "b.test": {rdtype: [ip]}}


CHAIN = {f"c{n}.test": {"CNAME": [f"c{n + 1}.test."]} for n in range(30)}
LONE_CHAIN = {f"c{n}.test": {"CNAME": Alone(f"c{n + 1}.test.")} for n in range(30)}
LIES = {"A": ["203.0.113.66"]}


def bare(mx: Behaviour) -> Zones:
    """A domain with an address and this answer to questions for its mail hosts."""
    return {"a.test": {"MX": mx, "A": ["192.0.2.3"]}}


# Zones, and what becomes of mail to a.test.
SITUATIONS: list[tuple[str, Zones, str]] = [
    # what is there
    ("one-mx", mx("10 b.test."), "192.0.2.1"),
    ("mx-in-capitals", mx("10 B.TEST."), "192.0.2.1"),
    (
        "a-and-aaaa",
        {**mx("10 b.test."), "b.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]}},
        "192.0.2.1 2001:db8::1",
    ),
    ("aaaa-only", to("2001:db8::1", "AAAA"), "2001:db8::1"),
    (
        "by-preference",
        {**mx("20 b.test.", "10 c.test."), "c.test": {"A": ["192.0.2.2"]}},
        "192.0.2.2 192.0.2.1",
    ),
    ("preference-0", mx("0 b.test."), "192.0.2.1"),
    (
        "underscore",
        {"a.test": {"MX": ["10 m_x.test."]}, "m_x.test": {"A": ["192.0.2.7"]}},
        "192.0.2.7",
    ),
    ("implicit", {"a.test": {"A": ["192.0.2.3"]}}, "192.0.2.3"),
    ("implicit-aaaa", {"a.test": {"AAAA": ["2001:db8::3"]}}, "2001:db8::3"),
    ("mx-is-the-domain", {"a.test": {"MX": ["10 a.test."], "A": ["192.0.2.4"]}}, "192.0.2.4"),
    (
        "two-names-one-address",
        {**mx("10 b.test.", "20 c.test."), "c.test": {"A": ["192.0.2.1"]}},
        "192.0.2.1 192.0.2.1",  # a candidate under each name: a policy may allow one of them
    ),
    # an implicit MX takes a proof that there are no MX records
    ("proof", bare(Negative(f"test. SOA {SOA}")), "192.0.2.3"),
    ("proof-of-the-zone-itself", bare(Negative(f"a.test. SOA {SOA}")), "192.0.2.3"),
    (
        "proof-with-name-servers",
        bare(Negative("test. NS x.test.", f"test. SOA {SOA}")),
        "192.0.2.3",
    ),
    ("proof-in-the-second-answer", bare(Cached(Negative(f"test. SOA {SOA}"))), "192.0.2.3"),
    ("records-in-the-second-answer", {"a.test": {"MX": Cached(MX_B)}, **B1}, "192.0.2.1"),
    ("no-soa", bare(EMPTY), "unreachable"),
    ("no-soa-at-all", bare(Cached(EMPTY)), "unreachable"),
    ("referral", bare(Negative("a.test. NS ns.b.test.")), "unreachable"),
    ("upward-referral", bare(Negative(". NS a.root.test.")), "unreachable"),
    ("soa-of-another-zone", bare(Negative(f"b.test. SOA {SOA}")), "unreachable"),
    ("soa-of-a-child-zone", bare(Negative(f"x.a.test. SOA {SOA}")), "unreachable"),
    ("soa-of-a-name-that-ends-alike", bare(Negative(f"ba.test. SOA {SOA}")), "unreachable"),
    (
        "no-soa-although-the-zone-is-known",
        {"a.test": {"MX": EMPTY, "A": ["192.0.2.3"], "SOA": [SOA]}},
        "192.0.2.3",
    ),
    (
        "no-soa-below-a-zone-that-is-known",
        {**bare(EMPTY), "test": {"SOA": [SOA]}},
        "unreachable",
    ),
    (
        "cname-and-the-soa-of-its-own-zone",
        {
            "a.test": {"CNAME": Alone("x.other."), "A": ["192.0.2.3"]},
            "x.other": {"MX": Negative(f"test. SOA {SOA}"), "A": ["192.0.2.3"]},
        },
        "unreachable",
    ),
    ("nxdomain-without-soa", {"a.test": Negative(rcode=NXDOMAIN)}, "5.4.4 if found again"),
    (
        "nxdomain-of-another-zone",
        {"a.test": Negative(f"b.test. SOA {SOA}", rcode=NXDOMAIN)},
        "5.4.4 if found again",
    ),
    (
        "nxdomain-of-the-domain-itself",
        {"a.test": Negative(f"a.test. SOA {SOA}", rcode=NXDOMAIN)},
        "5.4.4 if found again",
    ),
    (
        "mx-to-nxdomain-without-soa",
        {**mx("10 x.test."), "x.test": Negative(rcode=NXDOMAIN)},
        "unreachable",
    ),
    # CNAME
    (
        "domain-is-cname",
        {"a.test": {"CNAME": ["x.test."]}, "x.test": {"MX": MX_B}, **B1},
        "192.0.2.1",
    ),
    ("mx-to-cname", {**mx("10 x.test."), "x.test": {"CNAME": ["b.test."]}}, "192.0.2.1"),
    ("implicit-by-cname", {"a.test": {"CNAME": ["b.test."]}, **B1}, "192.0.2.1"),
    (
        "cname-not-followed",
        {"a.test": {"CNAME": Alone("x.test.")}, "x.test": {"MX": MX_B}, **B1},
        "192.0.2.1",
    ),
    ("cname-to-nothing", {"a.test": {"CNAME": ["gone.test."]}}, "5.1.2"),
    ("lone-cname-to-nothing", {"a.test": {"CNAME": Alone("gone.test.")}}, "5.1.2"),
    ("cname-to-the-root", {"a.test": {"CNAME": Alone(".")}}, "5.4.4 if found again"),
    ("cname-to-servfail", {"a.test": {"CNAME": ["x.test."]}, "x.test": SERVFAIL}, "unreachable"),
    ("cname-to-itself", {"a.test": {"CNAME": ["a.test."]}}, "unreachable"),
    (
        "cname-loop",
        {"a.test": {"CNAME": ["x.test."]}, "x.test": {"CNAME": ["a.test."]}},
        "unreachable",
    ),
    ("lone-cname-to-itself", {"a.test": {"CNAME": Alone("a.test.")}}, "unreachable"),
    (
        "lone-cname-loop",
        {"a.test": {"CNAME": Alone("x.test.")}, "x.test": {"CNAME": Alone("a.test.")}},
        "unreachable",
    ),
    (
        "chain-of-30",
        {"a.test": {"CNAME": ["c0.test."]}, **CHAIN, "c30.test": {"MX": MX_B}, **B1},
        "unreachable",
    ),
    (
        "lone-chain-of-30",
        {"a.test": {"CNAME": Alone("c0.test.")}, **LONE_CHAIN, "c30.test": {"MX": MX_B}, **B1},
        "unreachable",
    ),
    ("mx-to-cname-loop", {**mx("10 x.test."), "x.test": {"CNAME": ["x.test."]}}, "unreachable"),
    # the domain takes no mail
    ("nxdomain", {}, "5.1.2"),
    ("null-mx", mx("0 ."), "5.1.10"),
    ("null-mx-with-address", {"a.test": {"MX": ["0 ."], "A": ["192.0.2.3"]}}, "5.1.10"),
    ("root-with-preference", mx("10 ."), "5.4.4"),
    ("two-roots", mx("0 .", "10 ."), "5.4.4"),
    ("root-among-others", mx("0 .", "10 b.test."), "192.0.2.1"),
    ("mx-to-nxdomain", mx("10 gone.test."), "5.4.4"),
    ("mx-without-address", {**mx("10 x.test."), "x.test": {"TXT": ["x"]}}, "5.4.4"),
    ("mx-is-an-address", mx("10 192.0.2.1."), "5.4.4"),
    ("mx-is-no-name", mx("10 a\\032b.test."), "5.4.4"),
    ("mx-with-dot-in-label", mx("10 a\\.b.test."), "5.4.4"),
    ("mx-with-nul", mx("10 a\\000b.test."), "5.4.4"),
    ("no-name-but-another", mx("5 192.0.2.9.", "10 b.test."), "192.0.2.1"),
    (
        "no-fallback-to-the-domain",
        {"a.test": {"MX": ["10 gone.test."], "A": ["192.0.2.3"]}},
        "5.4.4",
    ),
    # forbidden addresses
    *(
        (f"to-{ip}", to(ip), "5.4.4")
        for ip in (
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
        )
    ),
    *(
        (f"to-{ip}", to(ip, "AAAA"), "5.4.4")
        for ip in (
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
        )
    ),
    ("implicit-to-loopback", {"a.test": {"A": ["127.0.0.1"]}}, "5.4.4"),
    (
        "loopback-among-others",
        {**mx("10 b.test."), "b.test": {"A": ["127.0.0.1", "192.0.2.1"]}},
        "192.0.2.1",
    ),
    ("localhost", {**mx("10 localhost."), "localhost": {"A": ["127.0.0.1"]}}, "5.4.4"),
    # ourselves
    ("own-name", mx("10 relay.test."), "5.4.6"),
    ("own-name-in-capitals", mx("10 ReLaY.test."), "5.4.6"),
    ("own-name-first", mx("10 relay.test.", "20 b.test."), "5.4.6"),
    ("own-name-equal", mx("10 relay.test.", "10 b.test."), "5.4.6"),
    ("own-name-last", mx("10 b.test.", "20 relay.test."), "192.0.2.1"),
    ("own-address", to("198.51.100.1"), "5.4.6"),
    ("own-address-mapped", to("::ffff:198.51.100.1", "AAAA"), "5.4.6"),
    (
        "own-address-last",
        {**mx("10 b.test.", "20 us.test."), "us.test": {"A": ["198.51.100.1"]}},
        "192.0.2.1",
    ),
    ("implicit-own-address", {"a.test": {"A": ["198.51.100.1"]}}, "5.4.6"),
    # failures
    ("servfail", {"a.test": SERVFAIL}, "unreachable"),
    ("refused", {"a.test": REFUSED}, "unreachable"),
    ("formerr", {"a.test": FORMERR}, "unreachable"),
    ("notimp", {"a.test": NOTIMP}, "unreachable"),
    ("yxdomain", {"a.test": YXDOMAIN}, "unreachable"),
    ("all-empty", {"a.test": EMPTY}, "5.4.4 if found again"),
    ("no-mail-records-at-all", {"a.test": {"TXT": ["x"]}}, "5.1.2 if found again"),
    ("no-mail-records-and-no-proof-of-mx", {"a.test": {"MX": EMPTY}}, "5.4.4 if found again"),
    ("implicit-to-loopback-no-proof", {"a.test": {"MX": EMPTY, "A": ["127.0.0.1"]}}, "unreachable"),
    (
        "no-mail-records-and-no-proof",
        {"a.test": {"TXT": ["x"], "AAAA": EMPTY}},
        "5.4.4 if found again",
    ),
    ("no-mail-records-and-a-failure", {"a.test": {"TXT": ["x"], "A": SERVFAIL}}, "unreachable"),
    ("mx-servfail-although-a", {"a.test": {"MX": SERVFAIL, "A": ["192.0.2.3"]}}, "unreachable"),
    ("addresses-servfail", {**mx("10 b.test."), "b.test": SERVFAIL}, "unreachable"),
    ("addresses-refused", {**mx("10 b.test."), "b.test": REFUSED}, "unreachable"),
    ("addresses-empty", {**mx("10 b.test."), "b.test": EMPTY}, "unreachable"),
    (
        "aaaa-servfail",
        {**mx("10 b.test."), "b.test": {"A": ["192.0.2.1"], "AAAA": SERVFAIL}},
        "192.0.2.1",
    ),
    ("aaaa-servfail-no-a", {**mx("10 b.test."), "b.test": {"AAAA": SERVFAIL}}, "unreachable"),
    (
        "aaaa-servfail-a-forbidden",
        {**mx("10 b.test."), "b.test": {"A": ["10.0.0.1"], "AAAA": SERVFAIL}},
        "unreachable",
    ),
    ("one-host-of-two-fails", {**mx("10 x.test.", "20 b.test."), "x.test": SERVFAIL}, "192.0.2.1"),
    (
        "one-fails-one-is-gone",
        {**mx("10 x.test.", "20 gone.test."), "x.test": SERVFAIL},
        "unreachable",
    ),
    # answers of the wrong shape
    ("cut-short", {"a.test": {"MX": Cut(MX_B)}, **B1}, "192.0.2.1"),
    (
        "all-cut-short",
        {"a.test": {"MX": Cut(MX_B)}, "b.test": {"A": Cut(["192.0.2.1"])}},
        "192.0.2.1",
    ),
    ("cut-short-then-servfail", {"a.test": Cut(SERVFAIL)}, "unreachable"),
    ("cut-short-then-garbage", {"a.test": Cut(GARBAGE)}, "unreachable"),
    ("cut-short-then-compression-loop", {"a.test": Cut(COMPRESSION_LOOP)}, "unreachable"),
    ("cut-short-then-nothing-at-all", {"a.test": Cut(Raw(b""))}, "unreachable"),
    (
        "cut-short-by-tcp-as-well",
        {"a.test": Cut(Raw(struct.pack("!HHHHH", 0x8380, 0, 0, 0, 0)))},
        "unreachable",
    ),
    ("cut-short-then-wrong-id", {"a.test": Cut(WRONG_ID)}, "unreachable"),
    ("cut-short-then-wrong-question", {"a.test": Cut(WRONG_QUESTION)}, "unreachable"),
    (
        "forged-before-the-truth",
        {"a.test": {"MX": Lied(MX_B)}, "b.test": {"A": Lied(["192.0.2.1"])}},
        "192.0.2.1",
    ),
    ("forged-before-servfail", {"a.test": Lied(SERVFAIL)}, "unreachable"),
    ("extra-records", {"a.test": {"MX": Extra(MX_B, "b.test.", LIES)}, **B1}, "192.0.2.1"),
    # size
    ("64-kb", {"a.test": {"MX": [f"{n} m{n}.a.test." for n in range(2900)]}}, "unreachable"),
    (
        "64-kb-with-a-host",
        {
            "a.test": {"MX": [f"10 m{n}.a.test." for n in range(2900)]},
            **{f"m{n}.a.test": {"A": ["192.0.2.8"]} for n in range(2900)},
        },
        " ".join(["192.0.2.8"] * 10),
    ),
    ("11-useless-hosts", mx(*(f"10 m{n}.test." for n in range(11))), "unreachable"),
    ("10-useless-hosts", mx(*(f"10 m{n}.test." for n in range(10))), "5.4.4"),
    (
        "useful-behind-10-useless",
        mx(*(f"10 m{n}.test." for n in range(10)), "20 b.test."),
        "unreachable",
    ),
    (
        "1000-forbidden-addresses",
        {**mx("10 b.test."), "b.test": {"A": [f"10.0.{n // 256}.{n % 256}" for n in range(1000)]}},
        "unreachable",
    ),
]


@pytest.mark.parametrize(
    ("zones", "ending"), [pytest.param(*row[1:], id=row[0]) for row in SITUATIONS]
)
def test_what_the_dns_says_about_a_domain(run: Run, zones: Zones, ending: str) -> None:
    """S-22, S-24 to S-26, A-60 to A-65."""

    async def situation() -> Ending:
        async with DnsServer(zones) as server:
            return await look_up(a_resolver(server), "a.test")

    assert seen(run(situation())) == ending


SILENT: list[tuple[str, Zones]] = [
    ("drop", {"a.test": DROP}),
    ("wrong-id", {"a.test": WRONG_ID}),
    ("wrong-question", {"a.test": WRONG_QUESTION}),
    ("garbage", {"a.test": GARBAGE}),
    ("no-octets", {"a.test": Raw(b"")}),
    ("compression-loop", {"a.test": COMPRESSION_LOOP}),
    ("silent-by-tcp", {"a.test": Cut(DROP)}),
    ("addresses-drop", {"a.test": {"MX": MX_B}, "b.test": DROP}),
]


@pytest.mark.parametrize("zones", [pytest.param(row[1], id=row[0]) for row in SILENT])
def test_no_usable_answer_costs_a_bounded_time(run: Run, zones: Zones) -> None:
    """A-63, A-65: forged and broken answers are passed over, until the time is up."""

    async def situation() -> tuple[Ending, float]:
        loop = asyncio.get_running_loop()
        async with DnsServer(zones) as server:
            began = loop.time()
            ending = await look_up(a_resolver(server, timeout=IMPATIENCE), "a.test")
            return ending, loop.time() - began

    ending, took = run(situation())
    assert seen(ending) == "unreachable"
    assert took < 3 * IMPATIENCE.total_seconds()


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        pytest.param("A.TEST", "192.0.2.1", id="capitals"),
        pytest.param("a.test.", "192.0.2.1", id="final-dot"),
        pytest.param("faß.test", "192.0.2.1", id="u-label"),
        pytest.param("FASS.test", "5.1.2", id="not-the-same-domain"),
        pytest.param("xn--fa-hia.test", "192.0.2.1", id="a-label"),
    ],
)
async def test_a_domain_is_asked_for_in_a_labels(domain: str, status: str) -> None:
    """HN-03, RFC 5891."""
    zones: Zones = {"a.test": {"MX": MX_B}, "xn--fa-hia.test": {"MX": MX_B}, **B1}
    async with DnsServer(zones) as server:
        assert seen(await look_up(a_resolver(server), domain)) == status


@pytest.mark.parametrize(
    "domain",
    [
        *("", ".", "@", "u@a.test", "a test", "a..test", "a\r\nb.test", "\ud800", "☕.test"),
        *("a" * 64 + ".test", "a." * 200, "[192.0.2.1]", "192.0.2.1", "2001:db8::1"),
    ],
)
async def test_what_is_no_domain_never_reaches_the_dns(domain: str) -> None:
    """HN-04, S-27."""
    async with DnsServer({}) as server:
        resolver = a_resolver(server)
        answer = await resolver.mx(domain)
        assert isinstance(answer, NoSuchDomain)
        assert is_clean(answer.reason)
        assert await resolver.addresses(domain) == Addresses()
        assert not server.queries


async def test_small_datagrams_are_asked_for_and_tcp_where_they_do_not_do() -> None:
    """HN-02, RFC 6891, RFC 7766."""
    many = [f"192.0.2.{n}" for n in range(100)]
    async with DnsServer({"a.test": {"A": many, "AAAA": ["2001:db8::1"]}}) as server:
        found = await a_resolver(server).addresses("a.test")
        assert server.payloads == {1232}
        assert server.by_tcp == 1
    assert len(found.ips) == RECORD_LIMIT + 1
    assert [failure.reason for failure in found.failures] == [
        "more records for A a.test than are looked at"
    ]


async def test_families_take_turns() -> None:
    zones: Zones = {"a.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1", "2001:db8::2"]}}
    async with DnsServer(zones) as server:
        found = await a_resolver(server).addresses("a.test")
    assert [ip.version for ip in found.ips] == [4, 6, 6]
    assert not found.failures


async def test_each_lookup_says_for_itself_if_it_failed() -> None:
    async with DnsServer({"a.test": {"A": SERVFAIL, "AAAA": EMPTY}}) as server:
        found = await a_resolver(server).addresses("a.test")
    assert [failure.reason for failure in found.failures] == [
        "127.0.0.1 answers SERVFAIL to A a.test",
        "an empty answer to AAAA a.test that proves nothing",
    ]


async def test_hostile_records_stay_unread() -> None:
    """A-62: records behind the limit stay unread, however expensive they are."""
    name = b"\x01a" * 126 + b"\x00"
    record = b"\xc0\x0c" + struct.pack("!HHIHH", 15, 1, 300, 4, 1) + b"\xc0\x0c"
    header = struct.pack("!HHHHHH", 1, 0x8180, 1, 3800, 0, 0)
    wire = header + name + struct.pack("!HH", 15, 1) + record * 3800
    answer = read(wire, Question.of(name, 15))
    assert answer.is_cut
    assert sum(map(len, answer.values.values())) == RECORD_LIMIT


# EDNS


NOTHING_INSIDE = struct.pack("!HHHHH", 0x8181, 0, 0, 0, 0)  # FORMERR, not even the question


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(FORMERR, id="formerr"),
        pytest.param(NOTIMP, id="notimp"),
        pytest.param(BADVERS, id="badvers"),
        pytest.param(SERVFAIL, id="servfail"),
        pytest.param(REFUSED, id="refused"),
        pytest.param(Raw(NOTHING_INSIDE), id="a-header-alone"),
        pytest.param(Cut(FORMERR), id="formerr-by-tcp"),
        pytest.param(Cut(NOTIMP), id="notimp-by-tcp"),
        pytest.param(Cut(HANG_UP), id="hangs-up"),
        pytest.param(DROP, id="silent"),
        pytest.param(GARBAGE, id="garbage"),
        pytest.param(Cut(DROP), id="silent-by-tcp"),
    ],
)
def test_a_name_server_without_edns_is_asked_without(run: Run, refusal: Behaviour) -> None:
    """RFC 6891 §7: once with it, then the same question and all others without, for a while."""

    async def situation() -> None:
        clock = FakeClock()
        zones = {**mx("10 b.test."), "c.test": {"MX": Cut(MX_B)}}
        async with DnsServer(zones, to_edns=refusal) as server:
            resolver = a_resolver(server, timeout=timedelta(seconds=1), clock=clock)
            assert seen(await look_up(resolver, "a.test")) == "192.0.2.1"
            asked = server.with_edns
            assert asked <= 2  # by UDP, and by TCP
            assert seen(await look_up(resolver, "c.test")) == "192.0.2.1"
            clock.advance(timedelta(seconds=PLAIN_FOR - 1))
            assert isinstance(await resolver.mx("gone.test"), NoSuchDomain)
            assert server.with_edns == asked
            clock.advance(timedelta(seconds=1))
            assert isinstance(await resolver.mx("gone.too.test"), NoSuchDomain)
            assert server.with_edns > asked, "it may have learnt it"

    run(situation())


@pytest.mark.parametrize("answer", [FORMERR, NOTIMP, SERVFAIL, REFUSED])
async def test_what_is_not_about_edns_changes_nothing(answer: Rcode) -> None:
    """The same error without EDNS: the next question comes with it as before."""
    async with DnsServer({"a.test": answer, **B1}) as server:
        resolver = a_resolver(server)
        assert isinstance(await resolver.mx("a.test"), DnsFailure)
        assert server.count("a.test", "MX") == (2 if answer in {FORMERR, NOTIMP} else 1)
        assert server.with_edns == 1
        assert isinstance(await resolver.mx("b.test"), ImplicitMx)
        assert server.with_edns == 2


async def test_a_name_server_that_was_away_is_asked_with_edns_again() -> None:
    """Silence with EDNS and without it: nobody was there."""
    async with DnsServer({"a.test": DROP, **B1}) as server:
        resolver = a_resolver(server, timeout=timedelta(seconds=2))  # for two tries
        assert isinstance(await resolver.mx("a.test"), DnsFailure)
        assert server.with_edns == 1
        assert server.count("a.test", "MX") == 2
        assert isinstance(await resolver.mx("b.test"), ImplicitMx)
        assert server.with_edns == 2


async def test_each_name_server_is_known_for_itself() -> None:
    async with DnsServer({"a.test": SERVFAIL}, to_edns=FORMERR) as old, DnsServer(B1) as new:
        resolver = a_resolver(old, new)
        for name in ("a.test", "a.test", "b.test"):
            await resolver.addresses(name)
        assert 0 < old.with_edns < sum(old.queries.values())
        assert new.with_edns == sum(new.queries.values()) > 0


# several name servers


@pytest.fixture
def closed_port() -> Iterator[HostPort]:
    """A port that refuses datagrams and connections, and that nobody else gets meanwhile."""
    with socket.socket() as taken, socket.socket(type=socket.SOCK_DGRAM) as taken_too:
        taken.bind(address := ("127.0.0.1", free_port()))
        taken_too.bind(address)
        taken_too.connect(address)  # takes nothing that others send
        yield HostPort(host=address[0], port=address[1])


@pytest.mark.parametrize(
    "first",
    [
        pytest.param({"a.test": SERVFAIL}, id="servfail"),
        pytest.param({"a.test": REFUSED}, id="refused"),
        pytest.param({"a.test": DROP}, id="silent"),
        pytest.param({"a.test": GARBAGE}, id="garbage"),
        pytest.param({"a.test": Cut(GARBAGE)}, id="garbage-by-tcp"),
    ],
)
async def test_the_next_name_server_is_asked(first: Zones) -> None:
    async with DnsServer(first) as bad, DnsServer(mx("10 b.test.")) as good:
        resolver = a_resolver(bad, good, timeout=timedelta(seconds=2))
        assert isinstance(await resolver.mx("a.test"), MxHosts)
        assert bad.count("a.test", "MX") >= 1


async def test_who_waits_for_a_silent_name_server_waits_once() -> None:
    """Each question would wait for it. After a minute one finds out if it is back, and after that all know."""
    names = [f"{number}.test" for number in range(12)]
    zones: Zones = {name: {"MX": [f"10 b{name}."]} for name in names}
    clock = FakeClock()
    async with DnsServer(dict.fromkeys(names, DROP)) as silent, DnsServer(zones) as good:
        resolver = a_resolver(silent, good, timeout=timedelta(seconds=1), clock=clock)
        for name in names[:6]:
            assert isinstance(await resolver.mx(name), MxHosts)
        assert {name for name, _ in silent.queries} == set(names[:1])
        clock.advance(timedelta(seconds=LAST_FOR))
        await asyncio.gather(*(resolver.mx(name) for name in names[6:9]))
        assert {name for name, _ in silent.queries} == {names[0], names[6]}
        silent.zones = dict(zones)
        clock.advance(timedelta(seconds=LAST_FOR))
        for name in names[9:]:
            assert isinstance(await resolver.mx(name), MxHosts)
        assert {name for name, _ in silent.queries} >= set(names[9:])


async def test_the_next_name_server_is_asked_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the time of a question is over: mail of all new domains waits for it."""
    monkeypatch.setattr(lookup, "_TRY_LIMIT", 600.0)
    async with DnsServer({"a.test": DROP}) as silent, DnsServer(mx("10 b.test.")) as good:
        resolver = a_resolver(silent, good, timeout=timedelta(hours=1))
        assert isinstance(await resolver.mx("a.test"), MxHosts)
        assert silent.count("a.test", "MX") == 1


async def test_who_was_slow_is_asked_again_with_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a name server found after its short time it knows by then. With EDNS as before: that it was slow says nothing of it."""
    monkeypatch.setattr(lookup, "_TRY_LIMIT", 600.0)
    slow: list[Zones] = [{"a.test": {"MX": InTurn(DROP, ["10 b.test."])}} for _ in range(2)]
    async with DnsServer(slow[0]) as one, DnsServer(slow[1]) as other:
        resolver = a_resolver(one, other, timeout=timedelta(hours=1))
        assert isinstance(await resolver.mx("a.test"), MxHosts)
        assert (one.count("a.test", "MX"), other.count("a.test", "MX")) == (2, 1)
        assert one.with_edns == 2


async def _is_waited_for(server: DnsServer, event: asyncio.Event, resolver: DnsResolver) -> None:
    """Have a server answer about a.test when it has been asked; what it proves has to be found."""
    asked = asyncio.ensure_future(resolver.mx("a.test"))
    await eventually(lambda: server.count("a.test", "MX") == 1)
    event.set()
    found = await asked
    assert isinstance(found, MxHosts)
    assert found.authenticated


async def test_one_that_is_not_trusted_is_not_asked_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose name servers are slow would have no DANE (RFC 7672 §2.1.1)."""
    monkeypatch.setattr(lookup, "_FIRST_TRY", 0.0)
    event = asyncio.Event()
    zones: Zones = {"a.test": {"MX": Wait(event, Authentic(["10 b.test."]))}}
    async with DnsServer(zones) as slow, DnsServer(mx("10 b.test.")) as other:
        resolver = a_resolver(slow, other, timeout=timedelta(hours=1))
        resolver.distrust(other.endpoint)
        await _is_waited_for(slow, event, resolver)
        assert other.count("a.test", "MX") == 0
        resolver.distrust(slow.endpoint)
        event.clear()
        assert isinstance(await resolver.mx("a.test"), MxHosts)
        assert other.count("a.test", "MX") > 0, "the control"
        event.set()


async def test_names_that_nobody_answers_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail for thousands of domains without name servers, and for one that has them."""
    monkeypatch.setattr(places, "_SOON", 0.0)
    zones: Zones = {f"{number}.test": DROP for number in range(200)}
    async with DnsServer({**zones, **mx("10 b.test.")}) as server:
        resolver = a_resolver(server, timeout=timedelta(hours=1))
        silent = [asyncio.ensure_future(resolver.mx(name)) for name in zones]
        assert isinstance(await resolver.mx("a.test"), MxHosts)
        assert not any(each.done() for each in silent)
        for each in silent:
            each.cancel()


GOOD: Zones = {"good.test": {"MX": ["10 b.test."]}}


async def test_a_name_server_that_has_too_many_questions_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It refuses whatever it is asked. With few under way, it means that name."""
    monkeypatch.setattr(places, "_PROMPT", 1)
    zones: Zones = {**GOOD, "a.test": {"MX": InTurn(REFUSED, ["10 b.test."])}}
    async with DnsServer(zones) as server:
        resolver = a_resolver(server, timeout=timedelta(hours=1))
        assert isinstance(await resolver.mx("good.test"), MxHosts)
        assert isinstance(await resolver.mx("a.test"), MxHosts)
    monkeypatch.setattr(places, "_PROMPT", 2)
    zones = {**GOOD, "a.test": {"MX": InTurn(REFUSED, ["10 b.test."])}}
    async with DnsServer(zones) as server:
        resolver = a_resolver(server, timeout=timedelta(hours=1))
        assert isinstance(await resolver.mx("good.test"), MxHosts)
        found = await resolver.mx("a.test")
        assert isinstance(found, DnsFailure)
        assert "answers REFUSED to MX a.test" in found.reason


@pytest.mark.parametrize("does_well", [True, False])
async def test_who_refuses_for_good_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch, *, does_well: bool
) -> None:
    """With many under way a few times, if it answers others at all."""
    monkeypatch.setattr(places, "_PROMPT", 1)
    async with DnsServer({**GOOD, "a.test": {"MX": REFUSED}}) as server:
        resolver = a_resolver(server, timeout=timedelta(hours=1))
        if does_well:
            assert isinstance(await resolver.mx("good.test"), MxHosts)
        found = await resolver.mx("a.test")
        assert isinstance(found, DnsFailure)
        assert "answers REFUSED to MX a.test" in found.reason
        assert server.count("a.test", "MX") == (3 if does_well else 1)


async def test_one_that_is_not_trusted_does_not_speak_for_one_that_has_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who has us ask for many silent names would switch off DANE for all others."""
    monkeypatch.setattr(places, "_PROMPT", 1)
    refusing: Zones = {**GOOD, "a.test": {"MX": REFUSED}}
    async with DnsServer(refusing) as trusted, DnsServer(mx("10 b.test.")) as other:
        resolver = a_resolver(trusted, other, timeout=timedelta(hours=1))
        resolver.distrust(other.endpoint)
        assert isinstance(await resolver.mx("good.test"), MxHosts)
        assert isinstance(await resolver.mx("a.test"), DnsFailure)
        assert other.count("a.test", "MX") == 0
        monkeypatch.setattr(places, "_PROMPT", 2)  # the control: it means that name
        resolver = a_resolver(trusted, other, timeout=timedelta(hours=1))
        resolver.distrust(other.endpoint)
        assert isinstance(await resolver.mx("a.test"), MxHosts)


async def test_a_trusted_one_behind_a_silent_one_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And is asked before those behind it that are not, though it was silent once."""
    monkeypatch.setattr(lookup, "_FIRST_TRY", 0.0)
    event = asyncio.Event()
    slow: Zones = {"a.test": {"MX": Wait(event, Authentic(["10 b.test."]))}}
    dead: Zones = {"a.test": DROP}
    async with DnsServer(dead) as first, DnsServer(slow) as trusted, DnsServer(mx(MX_B[0])) as last:
        resolver = a_resolver(first, trusted, last, timeout=timedelta(hours=1))
        resolver.distrust(first.endpoint)
        resolver.distrust(last.endpoint)
        await _is_waited_for(trusted, event, resolver)
        assert last.count("a.test", "MX") == 0


async def test_a_trusted_one_that_is_silent_goes_behind_one_that_is_trusted() -> None:
    """And not behind one that is not."""
    names = [f"{number}.test" for number in range(4)]
    zones: Zones = {name: {"MX": ["10 b.test."]} for name in names}
    async with (
        DnsServer(dict.fromkeys(names, DROP)) as silent,
        DnsServer(zones) as good,
        DnsServer(zones) as other,
    ):
        resolver = a_resolver(silent, good, other, timeout=timedelta(seconds=1))
        resolver.distrust(other.endpoint)
        for name in names:
            assert isinstance(await resolver.mx(name), MxHosts)
        assert silent.count(names[-1], "MX") == 0
        assert good.count(names[-1], "MX") == 1
        assert not other.queries


async def test_one_slow_name_puts_nobody_behind_the_others() -> None:
    """Two short tries in vain may: a name server that is gone is found out by two questions."""
    zones: Zones = {f"{number}.test": {"MX": ["10 b.test."]} for number in range(3)}
    slow = {name: {"MX": InTurn(DROP, ["10 b.test."])} for name in ("a.test", "b.test", "c.test")}
    async with DnsServer({**zones, **slow}) as one, DnsServer({**zones, **mx(MX_B[0])}) as other:
        resolver = a_resolver(one, other, timeout=timedelta(minutes=1))
        assert isinstance(await resolver.mx("a.test"), MxHosts)
        assert isinstance(await resolver.mx("0.test"), MxHosts)
        assert one.count("0.test", "MX") == 1
        await asyncio.gather(resolver.mx("b.test"), resolver.mx("c.test"))
        assert isinstance(await resolver.mx("1.test"), MxHosts)
        assert one.count("1.test", "MX") == 0


async def test_silence_to_one_question_is_about_that_question() -> None:
    """A name server that answers others meanwhile is asked first as before."""
    zones: Zones = {f"{number}.test": {"MX": ["10 b.test."]} for number in range(3)}
    async with DnsServer({**zones, "a.test": DROP}) as first, DnsServer(mx("10 b.test.")) as good:
        resolver = a_resolver(first, good, timeout=timedelta(seconds=2))
        asked = asyncio.ensure_future(resolver.mx("a.test"))
        await eventually(lambda: first.count("a.test", "MX") == 1)
        assert isinstance(await resolver.mx("0.test"), MxHosts)
        assert isinstance(await asked, MxHosts)
        assert isinstance(await resolver.mx("1.test"), MxHosts)
        assert first.count("1.test", "MX") == 1


async def test_who_says_that_an_answer_is_too_long_is_not_silent() -> None:
    """TCP may be stopped on the way: that is about long answers alone."""
    zones: Zones = {"a.test": {"MX": Cut(DROP)}, "b.test": {"MX": ["10 mx.b.test."]}}
    async with DnsServer(zones) as first, DnsServer(mx("10 b.test.")) as second:
        resolver = a_resolver(first, second, timeout=timedelta(seconds=2))
        assert isinstance(await resolver.mx("a.test"), MxHosts)
        assert isinstance(await resolver.mx("b.test"), MxHosts)
        assert first.count("b.test", "MX") == 1


async def test_an_answer_is_final_whatever_another_name_server_would_say() -> None:
    async with DnsServer({}) as first, DnsServer(mx("10 b.test.")) as second:
        assert isinstance(await a_resolver(first, second).mx("a.test"), NoSuchDomain)
        assert not second.queries


@pytest.mark.parametrize(
    ("first", "second", "ending"),
    [
        pytest.param(EMPTY, Negative(f"test. SOA {SOA}"), "192.0.2.3", id="proof"),
        pytest.param(EMPTY, MX_B, "192.0.2.1", id="records"),
        pytest.param(EMPTY, EMPTY, "unreachable", id="no-proof"),
        pytest.param(EMPTY, SERVFAIL, "unreachable", id="failure"),
        pytest.param(Negative("a.test. NS ns.b.test."), MX_B, "192.0.2.1", id="lame"),
        pytest.param(Negative(rcode=NXDOMAIN), MX_B, "192.0.2.1", id="denied-and-not-proven"),
    ],
)
async def test_a_proof_is_asked_of_each_name_server(
    first: Behaviour, second: Any, ending: str
) -> None:
    """One of them may be broken, or not serve the domain any more."""
    zones: list[Zones] = [
        {"a.test": {"MX": action, "A": ["192.0.2.3"]}, **B1} for action in (first, second)
    ]
    async with DnsServer(zones[0]) as one, DnsServer(zones[1]) as other:
        assert seen(await look_up(a_resolver(one, other), "a.test")) == ending


async def test_the_search_for_a_proof_has_an_end() -> None:
    """A name server that goes silent costs a try, and the answer is what was found before."""
    zones: Zones = {"a.test": {"MX": InTurn(EMPTY, DROP), "A": EMPTY, "AAAA": EMPTY, "SOA": EMPTY}}
    async with DnsServer(zones) as server:
        ending = await look_up(a_resolver(server, timeout=timedelta(seconds=1)), "a.test")
    assert seen(ending) == "5.4.4 if found again"


def test_a_name_server_that_is_not_there_fails_at_once(run: Run, closed_port: HostPort) -> None:
    """A-64: the resolver is down, and nothing bounces."""

    async def situation() -> tuple[Ending, float]:
        loop = asyncio.get_running_loop()
        resolver = DnsResolver(nameservers=[closed_port], timeout=PATIENCE, clock=FakeClock())
        began = loop.time()
        return await look_up(resolver, "a.test"), loop.time() - began

    ending, took = run(situation())
    assert seen(ending) == "unreachable"
    assert isinstance(ending, Breakdown)
    assert ending.reason == "127.0.0.1 cannot be asked for MX a.test: connection refused"
    assert took < PATIENCE.total_seconds() / 2


async def test_no_name_server_at_all_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relayd.net.dns.lookup.system_nameservers", lambda: ())
    resolver = DnsResolver(nameservers=(), timeout=PATIENCE, clock=FakeClock())
    answer = await resolver.mx("a.test")
    assert answer == DnsFailure(reason="no name server is configured", fault=Fault.LOCAL)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        pytest.param("nameserver 192.0.2.53\n", ["192.0.2.53"], id="one"),
        pytest.param("nameserver ::1\nnameserver 192.0.2.53", ["::1", "192.0.2.53"], id="two"),
        pytest.param("nameserver fe80::1%lo\n", ["fe80::1%lo"], id="scope"),
        pytest.param("# nameserver 192.0.2.53\n;nameserver ::1\n", [], id="comments"),
        pytest.param("search a.test\noptions edns0\nnameserver\n\n", [], id="none"),
        pytest.param("nameserver dns.test\nnameserver ::1", ["::1"], id="no-address"),
        pytest.param("nameserver \udcff\n", [], id="garbage"),
    ],
)
def test_the_systems_name_servers_are_read(tmp_path: Path, text: str, hosts: list[str]) -> None:
    file = tmp_path / "resolv.conf"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert system_nameservers(file) == tuple(HostPort(host=host, port=53) for host in hosts)


def test_a_system_without_the_file_has_none(tmp_path: Path) -> None:
    assert system_nameservers(tmp_path / "resolv.conf") == ()


# asked once


async def test_equal_questions_at_one_time_are_asked_once() -> None:
    gate = asyncio.Event()
    async with DnsServer({"a.test": {"MX": Wait(gate, MX_B)}}) as server:
        resolver = a_resolver(server)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(resolver.mx(name)) for name in ["a.test", "A.Test"] * 50]
            await server.until(lambda: server.count("a.test", "MX") == 1)
            gate.set()
        assert server.count("a.test", "MX") == 1
        assert len({task.result() for task in asking}) == 1


@pytest.mark.parametrize("leaver", [pytest.param(0, id="first"), pytest.param(1, id="second")])
async def test_who_gives_up_takes_nothing_from_the_others(leaver: int) -> None:
    gate = asyncio.Event()
    async with DnsServer({"a.test": {"MX": Wait(gate, MX_B)}}) as server:
        resolver = a_resolver(server)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(resolver.mx("a.test")) for _ in range(3)]
            await server.until(lambda: server.count("a.test", "MX") == 1)
            asking[leaver].cancel()
            await asyncio.wait([asking[leaver]])
            gate.set()
        assert [task.cancelled() for task in asking] == [n == leaver for n in range(3)]
        assert server.count("a.test", "MX") == 1


async def test_the_next_question_after_all_gave_up_shares_the_query() -> None:
    gate = asyncio.Event()
    async with DnsServer({"a.test": {"MX": Wait(gate, MX_B)}}) as server:
        resolver = a_resolver(server)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await resolver.mx("a.test")
        gate.set()
        assert isinstance(await resolver.mx("a.test"), MxHosts)
        assert server.count("a.test", "MX") == 1


async def test_a_hundred_queries_run_at_once_at_most() -> None:
    """HN-07: the others wait their turn."""
    gate = asyncio.Event()
    zones: Zones = {f"a{n}.test": {"MX": Wait(gate, MX_B)} for n in range(130)}
    async with DnsServer(zones) as server:
        resolver = a_resolver(server)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(resolver.mx(name)) for name in zones]
            await server.until(lambda: server.in_flight == 100)
            gate.set()
        assert all(isinstance(task.result(), MxHosts) for task in asking)
        assert server.most_in_flight == 100


# asked again


@pytest.mark.parametrize(
    ("action", "kept_for"),
    [
        pytest.param(MX_B, TTL, id="ttl"),
        pytest.param(Ttl(0, MX_B), 5, id="ttl-0"),
        pytest.param(Ttl(10**6, MX_B), 3600, id="long-ttl"),
        pytest.param(SERVFAIL, 5, id="failure"),
        pytest.param(EMPTY, 5, id="empty-without-soa"),
    ],
)
async def test_an_answer_is_asked_for_again_when_it_is_too_old(
    action: Any, kept_for: float
) -> None:
    """RFC 2308 §7."""
    clock = FakeClock()
    async with DnsServer({"a.test": {"MX": action}}) as server:
        resolver = a_resolver(server, clock=clock)
        for _ in range(3):
            await resolver.mx("a.test")
        clock.advance(timedelta(seconds=kept_for - 1))
        await resolver.mx("A.TEST")
        asked = server.count("a.test", "MX")
        assert asked == (2 if action is EMPTY else 1), "once more for a proof"
        clock.advance(timedelta(seconds=1))
        await resolver.mx("a.test")
        assert server.count("a.test", "MX") == 2 * asked


@pytest.mark.parametrize(
    ("zones", "domain"),
    [
        pytest.param({}, "gone.test", id="nxdomain"),
        pytest.param({"a.test": {"TXT": ["x"]}}, "a.test", id="no-mx"),
    ],
)
async def test_an_absence_is_kept_by_the_soa_record(zones: Zones, domain: str) -> None:
    """RFC 2308 §5: the minimum field, where it is less than the record's TTL."""
    clock = FakeClock()
    async with DnsServer(zones) as server:
        resolver = a_resolver(server, clock=clock)
        await resolver.mx(domain)
        clock.advance(timedelta(seconds=NEGATIVE_TTL - 1))
        await resolver.mx(domain)
        assert server.count(domain, "MX") == 1
        clock.advance(timedelta(seconds=1))
        await resolver.mx(domain)
        assert server.count(domain, "MX") == 2


async def test_a_failure_is_soon_forgotten() -> None:
    clock = FakeClock()
    async with DnsServer({"a.test": {"MX": InTurn(SERVFAIL, MX_B)}}) as server:
        resolver = a_resolver(server, clock=clock)
        assert isinstance(await resolver.mx("a.test"), DnsFailure)
        clock.advance(timedelta(seconds=5))
        assert isinstance(await resolver.mx("a.test"), MxHosts)


@pytest.mark.parametrize(
    ("finding", "seconds"),
    [
        pytest.param(Records(name=b"", values=(), complete=True, ttl=0), 5, id="least"),
        pytest.param(Records(name=b"", values=(), complete=True, ttl=2**31), 3600, id="most"),
        pytest.param(Nothing(exists=False, proven=True, ttl=0), 5, id="nothing-least"),
        pytest.param(Nothing(exists=True, proven=True, ttl=86400), 300, id="nothing-most"),
        pytest.param(Nothing(exists=True, proven=False, ttl=86400), 5, id="no-proof"),
        pytest.param(DnsFailure(reason="no"), 5, id="failure"),
    ],
)
def test_ttls_have_bounds(finding: Finding, seconds: float) -> None:
    assert keep_for(finding) == seconds


def test_the_cache_forgets_what_was_not_asked_for_longest() -> None:
    cache = DnsCache(FakeClock())
    failure = DnsFailure(reason="no")
    for n in range(5000):
        cache.put((f"a{n}.test", "MX"), failure)
    assert cache.get(("a0.test", "MX")) is failure
    cache.put(("new.test", "MX"), failure)
    assert cache.get(("a0.test", "MX")) is failure
    assert cache.get(("a1.test", "MX")) is None


async def test_the_root_is_no_mail_host() -> None:
    """RFC 7505 §3: a null MX among others is none."""
    async with DnsServer(mx("0 .", "10 b.test.")) as server:
        answer = await a_resolver(server).mx("a.test")
    assert answer == MxHosts(hosts=(MxHost(preference=10, name="b.test"),))


async def test_an_implicit_mx_names_the_domain() -> None:
    async with DnsServer({"a.test": {"A": ["192.0.2.1"]}}) as server:
        assert await a_resolver(server).mx("A.test") == ImplicitMx(domain="a.test")


async def test_a_question_that_needs_a_descriptor_more_than_there_is_was_not_asked() -> None:
    """That is no answer of the DNS, and nothing to be remembered."""
    async with DnsServer({"a.test": {"MX": MX_B}}) as server:
        resolver = a_resolver(server)
        with no_descriptors(), pytest.raises(Shortage, match="too many open files"):
            await resolver.mx("a.test")
        assert isinstance(await resolver.mx("a.test"), MxHosts)


async def test_who_gave_up_on_a_question_leaves_no_complaint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with DnsServer({}) as server:
        resolver = a_resolver(server)
        with no_descriptors():
            asking = asyncio.ensure_future(resolver.mx("a.test"))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, *resolver._running.values(), return_exceptions=True)
        gc.collect()
    assert not caplog.records


async def test_a_name_server_that_a_firewall_of_ours_forbids_is_our_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    resolver = DnsResolver(
        nameservers=[HostPort(host="127.0.0.1", port=53)], timeout=PATIENCE, clock=FakeClock()
    )
    monkeypatch.setattr(socket.socket, "send", refuse)
    found = await resolver.mx("a.test")
    assert isinstance(found, DnsFailure)
    assert found.fault is Fault.LOCAL

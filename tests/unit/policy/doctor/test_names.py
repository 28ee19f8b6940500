"""Our name and our addresses."""

from ipaddress import ip_address

import pytest

from relayd.mail.dns import Addresses, DnsFailure, NameAnswer, Names
from relayd.policy.doctor.finding import Level
from relayd.policy.doctor.names import (
    judge_forward,
    judge_fqdn,
    judge_helo,
    judge_no_source,
    judge_not_direct,
    judge_not_ours,
    judge_reverse,
    judge_source,
)
from tests.support.fake_dns import SICK

FQDN = "Relay.mill.net"
IP = ip_address("20.0.2.1")
OTHER = ip_address("20.0.2.9")
SIX = ip_address("2600:db8::1")


def leads_to(*ips: str, failure: DnsFailure | None = None) -> Addresses:
    failures = () if failure is None else (failure,)
    return Addresses(ips=tuple(ip_address(each) for each in ips), failures=failures)


NAMES = {
    "a name of one's own": ("relay.mill.net", Level.OK, Level.OK),
    "numbers are no sign": ("mx1.eu-2.mill.net", Level.OK, Level.OK),
    "a domain may be called so": ("mx.pool-party.net", Level.OK, Level.OK),
    "the sample": ("relay.example.org", Level.FAIL, Level.WARN),
    "below the sample": ("a.b.example.com", Level.FAIL, Level.WARN),
    "mDNS": ("box.LOCAL", Level.FAIL, Level.WARN),
    "in-house": ("mail.mill.internal", Level.FAIL, Level.WARN),
    "RFC 8375": ("nas.home.arpa", Level.FAIL, Level.WARN),
    "an address inside": ("ec2-192-0-2-1.compute.mill.net", Level.WARN, Level.WARN),
    "a customer's line": ("dyn-7.pool.mill.net", Level.WARN, Level.WARN),
    "DSL": ("x.adsl.mill.net", Level.WARN, Level.WARN),
}


@pytest.mark.parametrize(("name", "direct", "otherwise"), NAMES.values(), ids=NAMES)
def test_the_shape_of_the_name(name: str, direct: Level, otherwise: Level) -> None:
    found = [judge_fqdn(name, direct=True), judge_fqdn(name, direct=False)]
    assert [each.level for each in found] == [direct, otherwise]
    assert all(each.subject == name for each in found)
    assert [bool(each.remedy) for each in found] == [
        each is not Level.OK for each in (direct, otherwise)
    ]


@pytest.mark.parametrize(
    ("ip", "level", "words"),
    [
        ("20.0.2.1", Level.OK, "a public address"),
        ("2600:db8::1", Level.OK, "a public address"),
        ("10.0.0.5", Level.UNKNOWN, "private: receivers see another address"),
        ("100.64.0.5", Level.UNKNOWN, "shared address space"),
        ("127.0.0.1", Level.UNKNOWN, "loopback"),
        ("fe80::1", Level.UNKNOWN, "link-local"),
    ],
)
def test_what_we_send_from(ip: str, level: Level, words: str) -> None:
    found = judge_source(ip_address(ip))
    assert (found.level, found.subject) == (level, ip)
    assert words in found.reason
    assert ("--address" in found.remedy) == (level is Level.UNKNOWN)


def test_nothing_to_send_from() -> None:
    assert judge_no_source().level is Level.FAIL
    missing = judge_not_ours(IP, "direct.source")
    assert (missing.level, missing.reason.split()[0]) == (Level.FAIL, "direct.source")
    assert judge_not_direct().level is Level.SKIPPED


FORWARD = {
    "fine": (leads_to("20.0.2.1", "2600:db8::1"), Level.OK, "leads to 20.0.2.1, 2600:db8::1"),
    "one family is enough": (leads_to("20.0.2.1", failure=SICK), Level.OK, "leads to 20.0.2.1"),
    "nothing": (leads_to(), Level.FAIL, "has no address"),
    "no answer": (leads_to(failure=SICK), Level.UNKNOWN, "SERVFAIL"),
    "private among others": (leads_to("20.0.2.1", "fd00::1"), Level.WARN, "fd00::1 is private"),
    "private": (leads_to("10.0.0.1"), Level.FAIL, "nobody outside can reach: 10.0.0.1 is private"),
}


@pytest.mark.parametrize(("found", "level", "words"), FORWARD.values(), ids=FORWARD)
def test_where_the_name_leads(found: Addresses, level: Level, words: str) -> None:
    finding = judge_forward(FQDN, found)
    assert finding.level is level
    assert words in finding.reason
    assert bool(finding.remedy) == (level is not Level.OK)


HELO = {
    "fine": (leads_to("20.0.2.1"), IP, Level.OK, "leads to this address", ""),
    "elsewhere": (leads_to("20.0.2.9"), IP, Level.FAIL, "does not lead", "A record 20.0.2.1"),
    "not by IPv6": (
        leads_to("20.0.2.1"),
        SIX,
        Level.FAIL,
        "does not lead",
        "AAAA record 2600:db8::1",
    ),
    "no answer": (leads_to(failure=SICK), IP, Level.UNKNOWN, "SERVFAIL", "Ask again"),
}


@pytest.mark.parametrize(("found", "ip", "level", "words", "remedy"), HELO.values(), ids=HELO)
def test_who_says_ehlo(found: Addresses, ip: object, level: Level, words: str, remedy: str) -> None:
    assert isinstance(ip, type(IP) | type(SIX))
    finding = judge_helo(FQDN, found, ip)
    assert finding.level is level
    assert words in finding.reason
    assert remedy in finding.remedy


HERE, ELSEWHERE, DARK = leads_to("20.0.2.1"), leads_to("20.0.2.9"), leads_to(failure=SICK)
REVERSE = {
    "both ways": ({"relay.mill.net": HERE}, Level.OK, "relay.mill.net, which leads back", ""),
    "one of several": ({"a.test": ELSEWHERE, "relay.mill.net": HERE}, Level.OK, "leads back", ""),
    "none": ({}, Level.FAIL, "has no name", "set its PTR record to Relay.mill.net."),
    "does not lead back": (
        {"a.test": ELSEWHERE},
        Level.FAIL,
        "a.test does not lead back",
        "publish",
    ),
    "another name": (
        {"a.test": HERE},
        Level.WARN,
        "but we say EHLO",
        "or our name there to a.test.",
    ),
    "a line's name": ({"dsl-1.a.test": HERE}, Level.WARN, "customer's line", "PTR record to"),
    "not known to lead back": ({"a.test": DARK}, Level.UNKNOWN, "SERVFAIL", "Ask again"),
}


@pytest.mark.parametrize(("forward", "level", "words", "remedy"), REVERSE.values(), ids=REVERSE)
def test_the_name_of_an_address(
    forward: dict[str, Addresses], level: Level, words: str, remedy: str
) -> None:
    answer: NameAnswer = Names(names=tuple(forward))
    finding = judge_reverse(FQDN, IP, answer, forward)
    assert finding.level is level
    assert words in finding.reason
    assert remedy in finding.remedy


def test_a_reverse_zone_that_fails() -> None:
    finding = judge_reverse(FQDN, IP, SICK, {})
    assert (finding.level, finding.reason) == (Level.UNKNOWN, SICK.reason)

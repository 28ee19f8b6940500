"""What blocklists are asked, and what their answers are worth."""

from ipaddress import ip_address

import pytest

from relayd.mail.dns import Addresses, TextAnswer, Texts
from relayd.policy.doctor.blocklist import (
    judge_listing,
    judge_trust,
    listed_probe,
    question_for,
    unlisted_probe,
)
from relayd.policy.doctor.finding import Level
from tests.support.fake_dns import SICK

IP, SIX = ip_address("192.0.2.1"), ip_address("2001:db8::1")
SIX_TAIL = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
MAPPED_TAIL = "f.f.f.f" + ".0" * 20


def answer(*ips: str) -> Addresses:
    return Addresses(ips=tuple(ip_address(each) for each in ips))


FAILED = Addresses(failures=(SICK,))


def test_the_questions() -> None:
    assert question_for(IP, "list.test") == "1.2.0.192.list.test"
    assert question_for(SIX, "list.test") == f"1.{SIX_TAIL}.list.test"
    assert listed_probe(IP, "list.test") == "2.0.0.127.list.test"
    assert unlisted_probe(IP, "list.test") == "1.0.0.127.list.test"
    assert listed_probe(SIX, "list.test") == f"2.0.0.0.0.0.f.7.{MAPPED_TAIL}.list.test"
    assert unlisted_probe(SIX, "list.test") == f"1.0.0.0.0.0.f.7.{MAPPED_TAIL}.list.test"


TRUST = {
    "no answer": (FAILED, Level.UNKNOWN, "SERVFAIL", "Ask again"),
    "a public resolver": (
        answer("127.255.255.254"),
        Level.UNKNOWN,
        "refuses to answer",
        "a resolver of your own",
    ),
    "dead": (answer(), Level.UNKNOWN, "does not know its own test entry", "take the list out"),
    "a parked domain": (answer("203.0.113.7"), Level.UNKNOWN, "no blocklist gives", "Take the"),
}


@pytest.mark.parametrize(("test", "level", "words", "remedy"), TRUST.values(), ids=TRUST)
def test_a_list_that_cannot_be_believed(
    test: Addresses, level: Level, words: str, remedy: str
) -> None:
    found = judge_trust("list.test", IP, test)
    assert found is not None
    assert (found.level, found.subject) == (level, "192.0.2.1 list.test")
    assert words in found.reason
    assert remedy in found.remedy


def test_a_list_that_can() -> None:
    assert judge_trust("list.test", IP, answer("127.0.0.2", "127.0.0.4")) is None


def test_a_list_without_ipv6_is_no_trouble() -> None:
    found = judge_trust("list.test", SIX, answer())
    assert found is not None
    assert (found.level, found.remedy) == (Level.SKIPPED, "")


WHY = Texts(texts=("see https://list.test/192.0.2.1",))
LISTINGS = {
    "not listed": ("list.test", answer(), None, None, Level.OK, "not listed", ""),
    "no answer": ("list.test", FAILED, None, None, Level.UNKNOWN, "SERVFAIL", "Ask again"),
    "refused": (
        "list.test",
        answer("127.255.255.255"),
        None,
        None,
        Level.UNKNOWN,
        "refuses",
        "own",
    ),
    "forged": ("list.test", answer("203.0.113.7"), None, None, Level.UNKNOWN, "refuses", "own"),
    "listed": (
        "list.test",
        answer("127.0.0.2"),
        WHY,
        answer(),
        Level.FAIL,
        "listed (127.0.0.2): see https://list.test/192.0.2.1",
        "ask list.test to take it off",
    ),
    "listed without a word": (
        "list.test",
        answer("127.0.0.2"),
        SICK,
        answer(),
        Level.FAIL,
        "listed (127.0.0.2)",
        "ask list.test",
    ),
    "everything is listed": (
        "list.test",
        answer("127.0.0.2"),
        WHY,
        answer("127.0.0.2"),
        Level.UNKNOWN,
        "it is dead",
        "Take the list out",
    ),
    "a line of a provider": (
        "zen.spamhaus.org",
        answer("127.0.0.10"),
        None,
        None,
        Level.FAIL,
        "not to send mail directly",
        "policy list",
    ),
    "that and more": (
        "zen.spamhaus.org",
        answer("127.0.0.2", "127.0.0.10"),
        Texts(),
        None,
        Level.FAIL,
        "listed (127.0.0.2, 127.0.0.10)",
        "ask zen.spamhaus.org",
    ),
}


@pytest.mark.parametrize(
    ("zone", "found", "why", "unlisted", "level", "words", "remedy"),
    LISTINGS.values(),
    ids=LISTINGS,
)
def test_an_answer(
    zone: str,
    found: Addresses,
    why: TextAnswer | None,
    unlisted: Addresses | None,
    level: Level,
    words: str,
    remedy: str,
) -> None:
    finding = judge_listing(zone, IP, found, why=why, unlisted=unlisted)
    assert finding.level is level
    assert words in finding.reason
    assert remedy in finding.remedy

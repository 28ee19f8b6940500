"""SPF by RFC 7208, for the addresses that we send from."""

from ipaddress import ip_address

import pytest

from relayd.mail.dns import Texts
from relayd.policy.doctor.finding import Level
from relayd.policy.doctor.spf import Verdict, evaluate, judge_spf
from relayd.policy.doctor.spf_record import Result, SpfError, parse, select
from tests.support.fake_dns import SICK, FakeDns, Records

IP = "192.0.2.1"
SIX = "2001:db8::1"
OTHERS: Records = {
    "other.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "soft.test": {"TXT": ["v=spf1 ~all"]},
    "none.test": {"A": ["192.0.2.1"]},
    "broken.test": {"TXT": ["v=spf1 nonsense"]},
    "sick.test": {"TXT": SICK, "A": SICK, "AAAA": SICK, "MX": SICK},
    "near.test": {"A": ["192.0.2.200"], "AAAA": ["2001:db8::ffff"]},
    "half.test": {"A": ["192.0.2.1"], "AAAA": SICK},
    "mx.test": {"MX": ["none.test", "near.test"]},
    "crowd.test": {"MX": [f"h{number}.test" for number in range(11)]},
    "macro.test": {"TXT": ["v=spf1 exists:%{i}.x.test ?all"]},
    "macro-pass.test": {"TXT": ["v=spf1 exists:%{i}.x.test +all"]},
    "onward.test": {"TXT": ["v=spf1 redirect=%{d}.x.test"]},
    "loop.test": {"TXT": ["v=spf1 include:loop.test -all"]},
    "self.test": {"TXT": ["v=spf1 redirect=self.test"]},
}
P, F, S, N = Result.PASS, Result.FAIL, Result.SOFTFAIL, Result.NEUTRAL
BROKEN, TEMP, UNKNOWN = Result.PERMERROR, Result.TEMPERROR, Result.UNKNOWN

RECORDS = {
    "all": ("v=spf1 -all", IP, F),
    "softfail": ("v=spf1 ~all", IP, S),
    "neutral": ("v=spf1 ?all", IP, N),
    "everybody": ("v=spf1 +all", IP, P),
    "nothing in it": ("v=spf1", IP, N),
    "in any case": ("V=SPF1 IP4:192.0.2.1 -ALL", IP, P),
    "ip4": ("v=spf1 ip4:192.0.2.1 -all", IP, P),
    "ip4 network": ("v=spf1 ip4:192.0.2.77/24 -all", IP, P),
    "ip4 of others": ("v=spf1 ip4:198.51.100.0/24 -all", IP, F),
    "ip4 against IPv6": ("v=spf1 ip4:0.0.0.0/0 -all", SIX, F),
    "ip6": ("v=spf1 ip6:2001:db8::/32 -all", SIX, P),
    "excluded first": ("v=spf1 -ip4:192.0.2.1 ip4:192.0.2.0/24 -all", IP, F),
    "a": ("v=spf1 a:none.test -all", IP, P),
    "a of the domain itself": ("v=spf1 a -all", IP, P),
    "a with a prefix": ("v=spf1 a:near.test/24 -all", IP, P),
    "a without it": ("v=spf1 a:near.test -all", IP, F),
    "a with an IPv6 prefix": ("v=spf1 a:near.test//64 -all", SIX, P),
    "a with both": ("v=spf1 a:near.test/24//64 -all", SIX, P),
    "a that fails by half": ("v=spf1 a:half.test -all", IP, P),
    "mx": ("v=spf1 mx:mx.test -all", IP, P),
    "a of the other family": ("v=spf1 a:none.test -all", SIX, F),
    "a that fails in our family": ("v=spf1 a:half.test -all", SIX, TEMP),
    "three of the other family": ("v=spf1 a:none.test a a:none.test -all", SIX, BROKEN),
    "mx of a crowd": ("v=spf1 mx:crowd.test -all", IP, BROKEN),
    "mx without any": ("v=spf1 mx:none.test -all", IP, F),
    "mx of nobody": ("v=spf1 mx:nowhere.test -all", IP, F),
    "mx that fails": ("v=spf1 mx:sick.test -all", IP, TEMP),
    "a that fails": ("v=spf1 a:sick.test -all", IP, TEMP),
    "include": ("v=spf1 include:other.test -all", IP, P),
    "include with a qualifier": ("v=spf1 ?include:other.test -all", IP, N),
    "include of a no": ("v=spf1 include:soft.test -all", IP, F),
    "include of nothing": ("v=spf1 include:none.test -all", IP, BROKEN),
    "include of nonsense": ("v=spf1 include:broken.test -all", IP, BROKEN),
    "include that fails": ("v=spf1 include:sick.test -all", IP, TEMP),
    "include in circles": ("v=spf1 include:loop.test -all", IP, BROKEN),
    "redirect": ("v=spf1 redirect=other.test", IP, P),
    "redirect after what fits": ("v=spf1 ip4:192.0.2.1 redirect=soft.test", IP, P),
    "redirect to nothing": ("v=spf1 redirect=none.test", IP, BROKEN),
    "redirect in circles": ("v=spf1 redirect=self.test", IP, BROKEN),
    "eleven look-ups": (f"v=spf1 {' '.join(['a:near.test'] * 11)} -all", IP, BROKEN),
    "just ten": (f"v=spf1 {' '.join(['a:near.test'] * 10)} -all", IP, F),
    "two voids": ("v=spf1 a:x.test a:y.test -all", IP, F),
    "three voids": ("v=spf1 a:x.test a:y.test a:z.test -all", IP, BROKEN),
    "exists": ("v=spf1 exists:%{i}.x.test -all", IP, UNKNOWN),
    "exists without a macro": ("v=spf1 exists:none.test -all", IP, UNKNOWN),
    "ptr": ("v=spf1 ptr -all", IP, UNKNOWN),
    "a macro": ("v=spf1 a:%{d} -all", IP, UNKNOWN),
    "a macro behind us": ("v=spf1 ip4:192.0.2.1 exists:%{i}.x.test -all", IP, P),
    "a macro that changes nothing": ("v=spf1 exists:%{i}.x.test ip4:192.0.2.1 -all", IP, P),
    "a macro in an include": ("v=spf1 include:macro.test -all", IP, UNKNOWN),
    "a macro that decides nothing": ("v=spf1 include:macro-pass.test -all", IP, P),
    "a macro behind an include": ("v=spf1 include:onward.test -all", IP, UNKNOWN),
    "a macro in a redirect": ("v=spf1 redirect=%{d}.x.test", IP, UNKNOWN),
    "a redirect to that": ("v=spf1 redirect=onward.test", IP, UNKNOWN),
    "unknown modifiers": ("v=spf1 moo=cow exp=why.test ip4:192.0.2.1 -all", IP, P),
}


@pytest.mark.parametrize(("record", "ip", "result"), RECORDS.values(), ids=RECORDS)
async def test_what_a_record_says(record: str, ip: str, result: Result) -> None:
    dns = FakeDns({**OTHERS, "d.test": {"TXT": [record, "something else"], "A": [IP]}})
    verdict = await evaluate("d.test", ip_address(ip), dns)
    assert verdict.result is result, verdict.reason
    assert bool(verdict.reason) == (result in {BROKEN, TEMP, UNKNOWN})


async def test_there_is_none_or_no_answer() -> None:
    dns = FakeDns(OTHERS)
    assert (await evaluate("none.test", ip_address(IP), dns)).result is Result.NONE
    assert (await evaluate("nowhere.test", ip_address(IP), dns)).result is Result.NONE
    failed = await evaluate("sick.test", ip_address(IP), dns)
    assert (failed.result, failed.reason) == (TEMP, SICK.reason)


async def test_the_number_of_questions_is_bounded() -> None:
    dns = FakeDns(OTHERS)
    verdict = await evaluate("loop.test", ip_address(IP), dns)
    assert "more than 10 look-ups: include:loop.test" in verdict.reason
    assert dns.asked["loop.test", "TXT"] == 11


def test_one_record_counts() -> None:
    assert select(Texts(texts=("v=spf10 -all", "v=spf1x", "spf2.0/pra -all"))) is None
    assert select(Texts(texts=("v=spf1",))) == "v=spf1"
    with pytest.raises(SpfError, match="there are 2 SPF records"):
        select(Texts(texts=("v=spf1 -all", "v=spf1 ~all")))


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("nonsense", "is no mechanism"),
        ("!all", "is no mechanism"),
        ("all:x.test", "does not belong to all"),
        ("include:x.test/24", "does not belong to include"),
        ("include", "has no valid domain"),
        ("include:a..b", "has no valid domain"),
        ("a:", "has no valid domain"),
        ("a/33", "has no valid prefix length"),
        ("a//129", "has no valid prefix length"),
        ("a/x", "has no valid prefix length"),
        ("ip4:192.0.2.300", "has no valid address"),
        ("ip4:192.0.2.1/032", "has no valid address"),
        ("ip4:192.0.2.1/255.255.255.0", "has no valid address"),
        ("ip4:192.0.2.1/40", "has no valid address"),
        ("ip4", "has no valid address"),
        ("ip4:192.0.2.1\ufffdmx", "has no valid address"),
        ("a:museum", "has no valid domain"),
        ("a/08", "has no valid prefix length"),
        ("exp=", "has no valid domain"),
        ("exp=a.test exp=b.test", "exp is there twice"),
        ("ip4:2001:db8::1", "of the other family"),
        ("redirect=", "has no valid domain"),
        ("redirect=a.test redirect=b.test", "is there twice"),
    ],
)
def test_what_is_broken(word: str, why: str) -> None:
    with pytest.raises(SpfError, match=why):
        parse(f"v=spf1 {word} -all")


VERDICTS = {
    P: (Level.OK, "lists 192.0.2.1", ""),
    N: (Level.WARN, "says nothing about", 'Add "ip4:192.0.2.1"'),
    S: (Level.FAIL, "does not list 192.0.2.1: softfail", 'Add "ip4:192.0.2.1"'),
    F: (Level.FAIL, "does not list 192.0.2.1: fail", 'Add "ip4:192.0.2.1"'),
    Result.NONE: (
        Level.FAIL,
        "no SPF record",
        'Publish the TXT record "v=spf1 ip4:192.0.2.1 -all"',
    ),
    BROKEN: (Level.FAIL, "is broken: why", "Correct the record"),
    TEMP: (Level.UNKNOWN, "why", "Ask again later"),
    UNKNOWN: (Level.UNKNOWN, "why", '"ip4:192.0.2.1" in the record makes it certain'),
}


@pytest.mark.parametrize("result", Result)
def test_what_it_means(result: Result) -> None:
    level, reason, remedy = VERDICTS[result]
    found = judge_spf("d.test", ip_address(IP), Verdict(result=result, reason="why"), is_helo=False)
    assert found.level is level
    assert reason in found.reason
    assert remedy in found.remedy


def test_our_own_name_may_lack_one() -> None:
    verdict = Verdict(result=Result.NONE)
    assert judge_spf("d.test", ip_address(SIX), verdict, is_helo=True).level is Level.WARN


def test_long_records_are_shortened() -> None:
    record = f"v=spf1 {'ip4:192.0.2.0/24 ' * 50}-all"
    verdict = Verdict(result=P, record=record)
    assert len(judge_spf("d.test", ip_address(IP), verdict, is_helo=True).reason) < 250

"""DMARC by RFC 9989: the tree walk, the policy, alignment."""

import pytest

from relayd.mail.dns import Texts
from relayd.policy.doctor.dmarc import judge_alignment, judge_no_sender, judge_policy, walk
from relayd.policy.doctor.dmarc_record import DmarcError, select
from relayd.policy.doctor.finding import Level
from tests.support.fake_dns import SICK, FakeDns, Records


def zones(**records: str) -> Records:
    """`_dmarc` records by domain, with `_` for the dots."""
    return {f"_dmarc.{name.replace('_', '.')}": {"TXT": [text]} for name, text in records.items()}


WALKS = {
    "its own": ("mill.net", zones(mill_net="v=DMARC1; p=reject"), "mill.net", "reject"),
    "of the organization": (
        "shop.mill.net",
        zones(mill_net="v=DMARC1; p=reject"),
        "mill.net",
        "reject",
    ),
    "for the domains below": (
        "shop.mill.net",
        zones(mill_net="v=DMARC1; p=reject; sp=none"),
        "mill.net",
        "none",
    ),
    "both": (
        "shop.mill.net",
        zones(mill_net="v=DMARC1; p=none", shop_mill_net="v=DMARC1; p=quarantine"),
        "mill.net",
        "quarantine",
    ),
    "an organization of its own": (
        "a.shop.mill.net",
        zones(mill_net="v=DMARC1; p=none", shop_mill_net="v=DMARC1; p=reject; psd=n"),
        "shop.mill.net",
        "reject",
    ),
    "below a public suffix": (
        "a.mill.gov.test",
        zones(gov_test="v=DMARC1; p=none; sp=reject; psd=y"),
        "mill.gov.test",
        "reject",
    ),
    "an organization below a public suffix": (
        "a.mill.gov.test",
        zones(gov_test="v=DMARC1; psd=y", mill_gov_test="v=DMARC1; p=quarantine"),
        "mill.gov.test",
        "quarantine",
    ),
    "a public suffix itself": ("gov.test", zones(gov_test="v=DMARC1; psd=y"), "gov.test", "none"),
    "none": ("a.mill.net", zones(), "a.mill.net", ""),
    "a broken one is passed over": (
        "a.mill.net",
        zones(a_mill_net="v=DMARC1; p=maybe", mill_net="v=DMARC1; p=reject"),
        "mill.net",
        "reject",
    ),
}


@pytest.mark.parametrize(("domain", "records", "organization", "policy"), WALKS.values(), ids=WALKS)
async def test_the_tree_walk(domain: str, records: Records, organization: str, policy: str) -> None:
    found = await walk(domain, FakeDns(records))
    assert (found.organization, found.policy) == (organization, policy)


async def test_a_deep_name_takes_eight_questions() -> None:
    dns = FakeDns({})
    await walk("a.b.c.d.e.f.g.h.i.j.mill.net", dns)
    asked = [name for name, _ in dns.asked]
    assert asked[:3] == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mill.net",
        "_dmarc.f.g.h.i.j.mill.net",
        "_dmarc.g.h.i.j.mill.net",
    ]
    assert (len(asked), asked[-1]) == (8, "_dmarc.net")


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (("v=DMARC1; p=none", "v=DMARC1; p=none"), "there are 2"),
        (("v=DMARC1; p=maybe",), '"maybe" is no policy'),
        (("v=DMARC1; p=none; sp=maybe",), '"maybe" is no policy'),
        (("v=DMARC1",), "no policy"),
        (("v=DMARC1; none",), "is no tag=value"),
    ],
)
def test_broken_records(texts: tuple[str, ...], why: str) -> None:
    with pytest.raises(DmarcError, match=why):
        select(Texts(texts=texts))


def test_other_records_do_not_count() -> None:
    assert select(Texts(texts=("v=spf1 -all", "v=DMARC12; p=none"))) is None
    found = select(Texts(texts=("v = DMARC1 ; rua=mailto:a@b.test; aspf=S; t=Y", "x")))
    assert found is not None
    assert (found.policy, found.strict_spf, found.testing) == ("none", True, True)


JUDGED = {
    "reject": ("v=DMARC1; p=reject", Level.OK, "reject, by the record of mill.net", ""),
    "quarantine": ("v=DMARC1; p=quarantine", Level.OK, "quarantine, by", ""),
    "none": ("v=DMARC1; p=none", Level.WARN, "asks for nothing", "Change the policy"),
    "a test": ("v=DMARC1; p=reject; t=y", Level.WARN, "is a test", "Take t=y out"),
    "broken": ("v=DMARC1; p=maybe", Level.FAIL, '"maybe" is no policy (at _dmarc.mill', "Leave"),
    "no record": ("hello", Level.WARN, "no DMARC record", "at _dmarc.mill.net"),
}


@pytest.mark.parametrize(("record", "level", "words", "remedy"), JUDGED.values(), ids=JUDGED)
async def test_the_policy(record: str, level: Level, words: str, remedy: str) -> None:
    found = judge_policy(await walk("mill.net", FakeDns(zones(mill_net=record))))
    assert (found.level, found.subject) == (level, "_dmarc.mill.net")
    assert words in found.reason
    assert remedy in found.remedy


async def test_no_answer() -> None:
    failed = await walk("mill.net", FakeDns({"_dmarc.net": {"TXT": SICK}}))
    assert judge_policy(failed).level is Level.UNKNOWN
    assert judge_alignment(failed, failed, signs=False) is None
    assert judge_no_sender().level is Level.SKIPPED


RELAXED, STRICT = "v=DMARC1; p=reject", "v=DMARC1; p=reject; aspf=s"
ALIGNED = {
    "the same": (RELAXED, "mill.net", False, Level.OK, "aligns by SPF", ""),
    "the same, signed": (RELAXED, "mill.net", True, Level.OK, "SPF, and the signature by DKIM", ""),
    "below": (RELAXED, "b.mill.net", False, Level.OK, "aligns by SPF", ""),
    "elsewhere": (RELAXED, "b.other.net", False, Level.WARN, "only a DKIM", "in mill.net."),
    "elsewhere, signed": (RELAXED, "b.other.net", True, Level.OK, "signature can of mill.net", ""),
    "strict, the same": (STRICT, "mill.net", False, Level.OK, "aligns by SPF", ""),
    "strict, below": (STRICT, "b.mill.net", False, Level.WARN, "strictly (aspf=s)", "equal to it"),
}


@pytest.mark.parametrize(
    ("record", "returns", "signs", "level", "words", "remedy"), ALIGNED.values(), ids=ALIGNED
)
async def test_alignment(
    record: str, returns: str, *, signs: bool, level: Level, words: str, remedy: str
) -> None:
    dns = FakeDns(zones(mill_net=record))
    found = judge_alignment(await walk("mill.net", dns), await walk(returns, dns), signs=signs)
    assert found is not None
    assert (found.level, found.subject) == (level, "mill.net")
    assert words in found.reason
    assert remedy in found.remedy


async def test_alignment_with_what_is_not_known() -> None:
    dns = FakeDns({**zones(mill_net=RELAXED), "_dmarc.b.test": {"TXT": SICK}})
    sender = await walk("mill.net", dns)
    found = judge_alignment(sender, await walk("b.test", dns), signs=False)
    assert found is not None
    assert found.level is Level.UNKNOWN
    nobody = await walk("other.net", dns)
    assert judge_alignment(nobody, sender, signs=False) is None

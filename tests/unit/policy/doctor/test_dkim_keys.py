"""What relayd signs with, and for whom."""

from datetime import UTC, datetime, timedelta

import pytest

from relayd.mail.dns import DnsFailure, TextAnswer, Texts
from relayd.policy.doctor.dkim_keys import (
    Replaced,
    judge_age,
    judge_no_reports,
    judge_nothing_signed,
    judge_replaced,
    judge_signer,
    judge_unusable,
    signs_for,
)
from relayd.policy.doctor.finding import Check, Level

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GONE, THERE = Texts(), Texts(texts=("v=DKIM1; p=abc",))


def test_nothing_is_signed() -> None:
    found = judge_nothing_signed()
    assert (found.check, found.level) == (Check.DKIM, Level.WARN)
    assert "relayd dkim keygen DOMAIN" in found.remedy


def test_no_reports() -> None:
    found = judge_no_reports("relay.x.test")
    assert (found.check, found.level, found.subject) == (Check.DKIM, Level.WARN, "relay.x.test")
    assert 'tlsrpt.send = "off"' in found.remedy


def test_a_key_file_that_is_no_use() -> None:
    found = judge_unusable("x.test", "r2026a", "there is no such file")
    assert (found.level, found.subject) == (Level.FAIL, "r2026a._domainkey.x.test")
    assert found.reason == "the key cannot be used: there is no such file"
    assert "reload" in found.remedy


@pytest.mark.parametrize("domain", ["x.test", "news.x.test"])
def test_a_key_of_the_domain_or_of_a_parent(domain: str) -> None:
    assert judge_signer(domain, ["y.test", "x.test"]) is None


def test_strictly_only_a_key_of_the_domain_itself_aligns() -> None:
    assert signs_for("x.test", ["x.test"], strict=True)
    assert not signs_for("news.x.test", ["x.test"], strict=True)


@pytest.mark.parametrize("domain", ["test", "ax.test", "y.test"])
def test_a_domain_without_a_key(domain: str) -> None:
    found = judge_signer(domain, ["x.test"])
    assert found is not None
    assert (found.level, found.subject) == (Level.WARN, domain)
    assert found.remedy == f"Make a key with `relayd dkim keygen {domain}`."


def test_a_key_gets_old_in_a_year() -> None:
    year = timedelta(days=365)
    assert judge_age("x.test", "r2025a", NOW - year + timedelta(seconds=1), NOW) is None
    found = judge_age("x.test", "r2025a", NOW - year, NOW)
    assert found is not None
    assert (found.level, found.subject) == (Level.WARN, "r2025a._domainkey.x.test")
    assert "365 days old" in found.reason
    assert "relayd dkim rotate x.test" in found.remedy


REPLACED = {
    "there, and has to be": (THERE, 1, None),
    "gone too early": (GONE, 1, "is gone before 2026-03-01 12:00 UTC"),
    "there for too long": (THERE, 0, "is still there; nobody needs it since 2026-03-01 12:00 UTC"),
    "gone in time": (GONE, 0, None),
    "not known": (DnsFailure(reason="SERVFAIL"), 0, None),
}


@pytest.mark.parametrize(("answer", "early", "words"), REPLACED.values(), ids=REPLACED)
def test_the_record_of_a_key_that_was_replaced(
    answer: TextAnswer, early: int, words: str | None
) -> None:
    key = Replaced(domain="x.test", selector="r2025a", stays_until=NOW)
    found = judge_replaced(key, answer, NOW - timedelta(seconds=early))
    assert (found is None) == (words is None)
    if found is not None and words is not None:
        assert (found.level, found.subject) == (Level.WARN, "r2025a._domainkey.x.test")
        assert words in found.reason

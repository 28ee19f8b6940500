"""Which rules fit a message."""

from datetime import UTC, datetime

from relayd.mail.address import parse_address
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.rewriting.choice import Rewriting
from relayd.policy.rewriting.rules import Rewrite

BY_SENDER = Rewrite(envelope_from=parse_address("relay@corp.test"))
OF_DEFAULT = Rewrite(envelope_from=parse_address("app@corp.test"))
OF_NEWS = Rewrite(set_headers={"X-Stream": "news"})
RULES = Rewriting(
    patterns=SenderPatterns(("boss@a.test", "*.test")),
    senders={"*.test": BY_SENDER},
    smarthosts={"default": OF_DEFAULT, "news": OF_NEWS},
    key=b"k" * 32,
)


def test_the_sender_s_table_comes_before_that_of_the_smarthost() -> None:
    assert [*RULES.tables("x@b.test", "smarthost:news")] == [
        ('[senders] "*.test"', BY_SENDER),
        ("[smarthosts.news]", OF_NEWS),
    ]
    assert [*RULES.tables("x@b.example", "smarthost")] == [("[smarthost]", OF_DEFAULT)]
    assert [*RULES.tables("x@b.example", "mx:x.test")] == []


def test_the_first_pattern_counts_alone_and_the_null_reverse_path_has_none() -> None:
    assert [*RULES.tables("boss@a.test", "smarthost:other")] == []
    assert [*RULES.tables("", "smarthost:news")] == []


def test_what_is_given_is_by_these() -> None:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    given = RULES.given("x@b.test", b"Subject: x\r\n\r\nx\r\n", "smarthost:news", now)
    assert given.reverse_path == "relay@corp.test"
    assert bytes(given.content[:]) == b"Subject: x\r\nX-Stream: news\r\n\r\nx\r\n"

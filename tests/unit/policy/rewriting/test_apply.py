"""Rules carried out on one message."""

from datetime import UTC, datetime

import pytest

from relayd.mail.address import parse_address
from relayd.mail.content import Content, spliced
from relayd.policy.rewriting.apply import Rewritten, SrsKey, rewritten
from relayd.policy.rewriting.rules import DomainMap, Rewrite, RewriteRefused

KEY = SrsKey(key=b"k" * 32, now=datetime(2026, 11, 29, tzinfo=UTC))
APP = parse_address("app@example.com")
MAP = DomainMap(entries=(("a.test", "one.example"), ("*.test", "two.example")))
TRACE = b"Received: from x\r\n\tby y; now\r\n"
MAIL = TRACE + b"From: Shop <shop@a.test>\r\nSubject: x\r\n\r\nFrom: body\r\n"


def apply(*rules: Rewrite, content: Content = MAIL, sender: str = "shop@a.test") -> Rewritten:
    return rewritten(sender, content, rules, KEY)


def test_without_a_rule_nothing_changes() -> None:
    assert apply() == Rewritten(reverse_path="shop@a.test", content=MAIL)
    assert apply(Rewrite()).content is MAIL
    assert "kkk" not in repr(KEY)


def test_the_null_reverse_path_is_never_rewritten() -> None:
    done = apply(Rewrite(envelope_from=APP, header_from=APP), sender="")
    assert done == Rewritten(reverse_path="", content=MAIL)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (Rewrite(envelope_from=APP), "app@example.com"),
        (Rewrite(envelope_domains=MAP), "shop@one.example"),
        (Rewrite(envelope_domains=DomainMap(entries=MAP.entries[1:])), "shop@two.example"),
        (Rewrite(envelope_domains=DomainMap(entries=(("b.test", "c.test"),))), "shop@a.test"),
    ],
)
def test_the_sender(rule: Rewrite, wanted: str) -> None:
    done = apply(rule)
    assert done.reverse_path == wanted
    assert done.content is MAIL
    assert done.changes == (() if wanted == "shop@a.test" else (f"sender shop@a.test to {wanted}",))


def test_the_first_rule_that_gives_a_sender_settles_it() -> None:
    other = Rewrite(envelope_from=parse_address("other@example.com"))
    assert apply(Rewrite(envelope_from=APP), other).reverse_path == "app@example.com"
    assert apply(Rewrite(), other).reverse_path == "other@example.com"


def test_what_is_right_already_is_settled_too() -> None:
    """As an exception from what the smarthost's table says."""
    other = Rewrite(envelope_from=APP, header_from=APP)
    itself = parse_address("shop@a.test")
    done = apply(Rewrite(envelope_from=itself, header_from=itself), other)
    assert done == Rewritten(reverse_path="shop@a.test", content=MAIL)
    same = DomainMap(entries=(("a.test", "a.test"),))
    done = apply(Rewrite(envelope_domains=same, header_domains=same), other)
    assert done == Rewritten(reverse_path="shop@a.test", content=MAIL)


def test_the_first_rule_that_gives_a_from_settles_it() -> None:
    other = Rewrite(header_from=parse_address("other@example.com"))
    for first in (Rewrite(header_from=APP), Rewrite(header_domains=MAP)):
        content = bytes(apply(first, other).content[:])
        assert b"other@example.com" not in content
        assert content.count(b"shop@a.test") == 1, "it is kept once"
    elsewhere = Rewrite(header_domains=DomainMap(entries=(("b.test", "c.test"),)))
    assert b"other@example.com" in bytes(apply(elsewhere, other).content[:])


def test_domains_of_a_from_that_cannot_be_read_stay() -> None:
    content = MAIL.replace(b"Shop <shop@a.test>", b"Shop <shop@a.test")
    assert apply(Rewrite(header_domains=MAP), content=content).content == content


def test_srs() -> None:
    assert apply(Rewrite(srs_domain="srs.example")).reverse_path.endswith(
        "=a.test=shop@srs.example"
    )
    with pytest.raises(RewriteRefused, match="no domain name"):
        apply(Rewrite(srs_domain="srs.example"), sender="a@[192.0.2.1]")


def test_a_sender_that_gets_too_long_is_refused() -> None:
    far = ".".join(["a" * 60] * 4)
    rule = Rewrite(envelope_domains=DomainMap(entries=(("a.test", far),)))
    with pytest.raises(RewriteRefused, match="longer than 254 octets"):
        apply(rule, sender=f"{'b' * 20}@a.test")


def test_from_keeps_the_name_and_what_it_was() -> None:
    done = apply(Rewrite(header_from=APP))
    assert done.content == (
        TRACE
        + b"Reply-To: Shop <shop@a.test>\r\nFrom: Shop <app@example.com>\r\nSubject: x\r\n\r\nFrom: body\r\n"
    )
    assert done.changes == ("From shop@a.test to app@example.com",)


def test_a_reply_to_stays() -> None:
    mail = b"Received: x\r\nReply-To: r@a.test\r\nFrom: shop@a.test\r\n\r\n"
    assert apply(Rewrite(header_domains=MAP), content=mail).content == (
        b"Received: x\r\nX-Original-From: shop@a.test\r\nReply-To: r@a.test\r\nFrom: shop@one.example\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("before", "rule", "after"),
    [
        (b"To: b@x.test\r\n", Rewrite(header_from=APP), b"To: b@x.test\r\nFrom: app@example.com\r\n"),
        (b"To: b@x.test\r\n", Rewrite(header_domains=MAP), b"To: b@x.test\r\n"),
        (b"From: App <app@example.com>\r\n", Rewrite(header_from=APP), b"From: App <app@example.com>\r\n"),
        (b"From: a@b.c\r\n", Rewrite(header_domains=MAP), b"From: a@b.c\r\n"),
        (
            b"T: 1\r\nFrom: Shop\r\n",
            Rewrite(header_from=APP),
            b"T: 1\r\nX-Original-From: Shop\r\nFrom: <app@example.com>\r\n",
        ),
    ],
)  # fmt: skip
def test_from_that_is_missing_right_or_broken(before: bytes, rule: Rewrite, after: bytes) -> None:
    done = apply(rule, content=before + b"\r\nbody\r\n")
    assert done.content == after + b"\r\nbody\r\n"


def test_fields_are_set_added_removed() -> None:
    rule = Rewrite(
        header_sender=APP,
        set_headers={"Subject": "set"},
        add_headers={"X-Env": "test"},
        remove_headers=("X-Mailer", "X-Not-There"),
    )
    mail = b"Received: x\r\nX-Mailer: m\r\nSubject: a\r\nSubject: b\r\n\r\n"
    done = apply(rule, content=mail)
    assert (
        done.content
        == b"Received: x\r\nSubject: set\r\nSender: app@example.com\r\nX-Env: test\r\n\r\n"
    )
    assert done.changes == ("X-Mailer removed", "Subject set", "Sender set", "X-Env added")


def test_a_header_without_end_is_refused() -> None:
    with pytest.raises(RewriteRefused, match="262144 octets"):
        apply(Rewrite(add_headers={"X-A": "1"}), content=b"X: y\r\n" * 60_000)


class OnDisk:
    """Content that is no bytes, as what lies on a file."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def __len__(self) -> int:
        return len(self._octets)

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        return self._octets[part]


def test_large_content_is_not_read_for_it() -> None:
    done = apply(Rewrite(header_from=APP), content=OnDisk(MAIL))
    assert not isinstance(done.content, bytes)
    wanted = apply(Rewrite(header_from=APP)).content
    assert len(done.content) == len(wanted)
    assert done.content[:] == wanted


@pytest.mark.parametrize("head", [b"", b"ab", b"abcdef", b"abcdefghijkl"])
def test_each_part_of_a_splice_is_that_of_the_whole(head: bytes) -> None:
    whole = b"0123456789"
    ours, plain = spliced(head, OnDisk(whole), 4), spliced(head, whole, 4)
    assert len(ours) == len(plain)
    for start in (None, *range(-15, 20)):
        for stop in (None, *range(-15, 20)):
            assert ours[start:stop] == plain[start:stop]

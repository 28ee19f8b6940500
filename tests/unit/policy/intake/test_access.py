"""Which addresses the mail of a client may have."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import parse_address
from relayd.mail.reply import Reply
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.intake.access import (
    ANYTHING,
    FROM_NOT_ALLOWED,
    NO_FROM,
    SENDER_NOT_ALLOWED,
    AccessRules,
    Allowed,
    Networks,
    may_be_author,
    refusal_of_from,
    refusal_of_sender,
)
from relayd.policy.intake.origin import Origin

SHOP = Allowed(senders=SenderPatterns(("shop.example", "<>")))
ONE = Allowed(senders=SenderPatterns(("a@shop.example",)))
AUTHORS = Allowed(header_from=SenderPatterns(("a@x.example", "*.x.example")))
OTHERS = Allowed(header_from=SenderPatterns(("sub.x.example",)))
RULES = AccessRules(
    logins={"shop": ONE},
    networks=Networks(
        tuple(
            (name, ip_network(name))
            for name in ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "2001:db8::/32")
        )
    ),
    in_network={"10.0.0.0/8": SHOP, "10.1.2.0/24": AUTHORS},
)


@pytest.mark.parametrize(
    ("lists", "sender", "refusal"),
    [
        pytest.param([], "x@y.example", None, id="no-list"),
        pytest.param([SHOP], "x@shop.example", None, id="there"),
        pytest.param([SHOP], "x@sub.shop.example", SENDER_NOT_ALLOWED, id="not-there"),
        pytest.param([SHOP, ONE], "x@shop.example", SENDER_NOT_ALLOWED, id="one-is-against-it"),
        pytest.param([SHOP, ONE], "A@shop.example", None, id="all-agree"),
        pytest.param([AUTHORS], "x@y.example", None, id="a-list-about-from"),
        pytest.param([ONE], "", None, id="the-null-path-is-everybodys"),
    ],
)
def test_a_sender_is_one_of_every_list(
    lists: list[Allowed], sender: str, refusal: Reply | None
) -> None:
    path = parse_address(sender) if sender else None
    assert refusal_of_sender(lists, path) == refusal


@pytest.mark.parametrize(
    ("head", "refusal"),
    [
        pytest.param(b"From: A <a@x.example>\r\n\r\n", None, id="there"),
        pytest.param(b"From: A <b@x.example>\r\n\r\n", FROM_NOT_ALLOWED, id="not-there"),
        pytest.param(
            b"From: a@x.example, b@y.example\r\n\r\n", FROM_NOT_ALLOWED, id="one-of-two-authors"
        ),
        pytest.param(
            b"From: a@x.example\r\nfrom : b@y.example\r\n\r\n", FROM_NOT_ALLOWED, id="two-fields"
        ),
        pytest.param(
            b"From: a@x.example\r\nno field\r\nFROM:\r\n b@y.example\r\n\r\n",
            FROM_NOT_ALLOWED,
            id="behind-a-line-that-is-no-field",
        ),
        pytest.param(b"From: G: a@x.example, b@s.x.example;\r\n\r\n", None, id="a-group"),
        pytest.param(b"From: <a@x.example\r\n\r\n", NO_FROM, id="unreadable"),
        pytest.param(b"From: a@x.example b@y.example\r\n\r\n", NO_FROM, id="two-in-a-row"),
        pytest.param(b"From: \r\n\r\n", NO_FROM, id="empty"),
        pytest.param(b"From: a@x.example\r\nFrom: G:;\r\n\r\n", NO_FROM, id="a-group-of-nobody"),
        pytest.param(b"Subject: x\r\n\r\nFrom: a@x.example\r\n", NO_FROM, id="in-the-body"),
        pytest.param(b"\r\nFrom: a@x.example\r\n\r\n", NO_FROM, id="no-header"),
        pytest.param(b"", NO_FROM, id="nothing"),
    ],
)
def test_every_address_of_every_from_is_judged(head: bytes, refusal: Reply | None) -> None:
    assert refusal_of_from([SHOP, AUTHORS], head) == refusal


def test_lists_of_authors_agree_too() -> None:
    assert refusal_of_from([AUTHORS, OTHERS], b"From: b@sub.x.example\r\n\r\n") is None
    assert refusal_of_from([AUTHORS, OTHERS], b"From: a@x.example\r\n\r\n") == FROM_NOT_ALLOWED


def test_a_client_is_signed_for_as_whom_every_list_lets_it_be() -> None:
    one, all_of_it = SenderPatterns(("app@x.test",)), SenderPatterns(("x.test",))
    app, boss = parse_address("app@x.test"), parse_address("boss@x.test")
    for lists in ([Allowed(senders=one)], [Allowed(senders=all_of_it, header_from=one)]):
        assert may_be_author(lists, app)
        assert not may_be_author(lists, boss)
    assert may_be_author([Allowed()], boss)


def test_without_a_list_of_authors_from_is_not_looked_at() -> None:
    assert refusal_of_from([SHOP], b"") is None


@given(st.binary(max_size=60).filter(lambda junk: junk.strip(b"\r\n") != b""))
def test_no_octets_bring_another_author_in(junk: bytes) -> None:
    """Whatever is in front of it or in it: a field of another author is never passed."""
    head = junk.replace(b"\r", b"").replace(b"\n", b"") + b"\r\nFrom: evil@y.example\r\n"
    assert refusal_of_from([AUTHORS], b"From: a@x.example\r\n" + head + b"\r\n") is not None


@pytest.mark.parametrize(
    ("ip", "user", "lists"),
    [
        pytest.param("192.0.2.1", None, [], id="nowhere"),
        pytest.param("10.9.9.9", None, [SHOP], id="in-a-network"),
        pytest.param("::ffff:10.9.9.9", None, [SHOP], id="the-ipv4-address-inside"),
        pytest.param("10.1.9.9", None, [], id="the-smallest-says-nothing"),
        pytest.param("10.1.2.3", "shop", [ONE, AUTHORS], id="login-and-network"),
        pytest.param("2001:db8::1", "other", [], id="a-login-without-a-list"),
        pytest.param("", "shop", [ONE], id="unix-socket"),
    ],
)
def test_whose_lists_they_are(ip: str, user: str | None, lists: list[Allowed]) -> None:
    assert RULES.for_client(ANYTHING, Origin(ip=ip), user) == lists
    assert RULES.for_client(OTHERS, Origin(ip=ip), user) == [OTHERS, *lists]
    assert AccessRules().for_client(ANYTHING, Origin(ip=ip), user) == []


def test_a_client_whose_address_is_not_known_is_in_no_network() -> None:
    assert RULES.for_client(ANYTHING, Origin(ip="10.9.9.9", is_known=False), None) == []


def test_without_a_list_no_header_is_read() -> None:
    assert refusal_of_from([], b"no header at all") is None

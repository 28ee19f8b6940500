"""Whose keys sign a message."""

import pytest

from relayd.mail.address import Address
from relayd.policy.dkim import domain_for, is_by, signing_domain

DOMAINS = frozenset({"example.org", "mail.example.org", "xn--bcher-kva.test"})


def _anybody(_: Address) -> bool:
    return True


@pytest.mark.parametrize(
    ("domain", "found"),
    [
        pytest.param("example.org", "example.org", id="equal"),
        pytest.param("Example.ORG", "example.org", id="case"),
        pytest.param("news.example.org", "example.org", id="parent"),
        pytest.param("a.mail.example.org", "mail.example.org", id="the-longest"),
        pytest.param("notexample.org", None, id="no-label"),
        pytest.param("org", None, id="above"),
        pytest.param("bücher.test", "xn--bcher-kva.test", id="u-label"),
        pytest.param("[192.0.2.1]", None, id="literal"),
    ],
)
def test_the_longest_equal_or_parent_domain_signs(domain: str, found: str | None) -> None:
    assert domain_for(domain, DOMAINS) == found


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param(b"From: a@example.org\r\n", "example.org", id="plain"),
        pytest.param(
            b"Subject: x\r\nfrom:\r\n Shop <a@example.org>\r\n", "example.org", id="folded"
        ),
        pytest.param(b"From: a@example.org, b@x.example.org\r\n", "example.org", id="two-of-one"),
        pytest.param(b"From: a@example.org, b@mail.example.org\r\n", None, id="two-domains"),
        pytest.param(b"From: a@example.org, b@other.test\r\n", None, id="one-has-no-keys"),
        pytest.param(b"From: a@other.test\r\n", None, id="no-keys"),
        pytest.param(b"Subject: x\r\n", None, id="missing"),
        pytest.param(b"From:\r\n", None, id="empty"),
        pytest.param(b"From: a@example.org <b@other.test\r\n", None, id="unreadable"),
        pytest.param(b"From: a@example.org\r\nFrom: b@example.org\r\n", None, id="two-fields"),
    ],
)
def test_from_says_whose_keys_sign(header: bytes, found: str | None) -> None:
    assert signing_domain(header, DOMAINS, _anybody) == found


def test_a_client_is_signed_for_only_as_an_author_whom_it_may_be() -> None:
    """T-03, for each address of From."""

    def is_shop(address: Address) -> bool:
        return str(address) == "shop@example.org"

    def domain_of(authors: str) -> str | None:
        return signing_domain(f"From: {authors}\r\n".encode(), DOMAINS, is_shop)

    assert domain_of("Shop <shop@example.org>") == "example.org"
    assert domain_of("boss@example.org") is None
    assert domain_of("shop@example.org, boss@example.org") is None


def test_who_is_the_author() -> None:
    assert is_by(b"From: a@x.test\r\n", lambda _: True)
    assert not is_by(b"From: a@x.test\r\n", lambda _: False)
    assert not is_by(b"Subject: x\r\n", lambda _: True)

"""From with another address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import Address, parse_address
from relayd.policy.rewriting import author

NEW = parse_address("app@example.com")

FIXED = {
    "bare": (b"old@x.test", b"app@example.com"),
    "in angle brackets": (b"<old@x.test>", b"<app@example.com>"),
    "with a name": (b"Shop <old@x.test>", b"Shop <app@example.com>"),
    "a quoted name with a comma": (b'"Shop, Inc" <old@x.test>', b'"Shop, Inc" <app@example.com>'),
    "an encoded name": (
        b"=?utf-8?q?K=C3=A4se?= <o@x.test>",
        b"=?utf-8?q?K=C3=A4se?= <app@example.com>",
    ),
    "a name in UTF-8": ("Käse <o@x.test>".encode(), "Käse <app@example.com>".encode()),
    "a comment": (b"old@x.test (Shop (the big one))", b"app@example.com (Shop (the big one))"),
    "folded": (b"Shop\r\n <old@x.test>", b"Shop\r\n <app@example.com>"),
    "an address as its name": (b'"old@x.test" <old@x.test>', b'"old@x.test" <app@example.com>'),
    "blanks within the brackets": (b"Shop < old@x.test >", b"Shop < app@example.com >"),
    "several: the first name": (b"A <a@x.test>, B <b@x.test>", b"A <app@example.com>"),
    "a group": (b"Team: A <a@x.test>, b@x.test;", b"A <app@example.com>"),
    "a quoted local part": (b'"old one"@x.test', b"app@example.com"),
    "no address": (b"Shop", b"<app@example.com>"),
    "nothing": (b"", b"<app@example.com>"),
    "an open comment": (b"old@x.test (Shop", b"<app@example.com>"),
    "an open bracket": (b"Shop <old@x.test", b"<app@example.com>"),
    "two addresses in one": (b"<a@x.test> <b@x.test>", b"<app@example.com>"),
    "a name behind": (b"<a@x.test> Shop", b"<app@example.com>"),
    "an open group": (b"Team: a@x.test", b"<app@example.com>"),
    "a stray end": (b"a@x.test;", b"<app@example.com>"),
    "not UTF-8": (b"\xff\xfe@x.test", b"<app@example.com>"),
    "a lone bracket": (b"a@x.test >", b"<app@example.com>"),
}


@pytest.mark.parametrize("case", FIXED)
def test_one_author_keeps_the_name(case: str) -> None:
    value, wanted = FIXED[case]
    assert author.with_address(value, NEW) == wanted
    assert author.addresses(wanted) == [NEW]


def other(address: Address) -> Address:
    return Address(address.local, "example.com") if address.domain == "x.test" else address


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"A <a@x.test>, b@x.test, C <c@y.test>", b"A <a@example.com>, b@example.com, C <c@y.test>"),
        (b"Team: A <a@x.test>, b@x.test;, d@x.test", b"Team: A <a@example.com>, b@example.com;, d@example.com"),
        (b"Nobody:;", b"Nobody:;"),
        (b"A <a@x.test", b"A <a@x.test"),
        (b"(a@x.test) b@y.test", b"(a@x.test) b@y.test"),
    ],
)  # fmt: skip
def test_other_domains_leave_the_rest_alone(value: bytes, wanted: bytes) -> None:
    assert author.with_domains(value, other) == wanted


def test_what_cannot_be_read_has_no_addresses() -> None:
    assert author.addresses(b"Shop") is None
    assert author.addresses(b"") == []


@given(st.binary(max_size=80) | st.text('<>@".:;,()\\ ab\r\n', max_size=40).map(str.encode))
def test_whatever_stands_there_one_author_is_left(value: bytes) -> None:
    """No octets of a client make a second author, or an empty one."""
    assert author.addresses(author.with_address(value, NEW)) == [NEW]

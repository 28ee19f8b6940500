"""Which names direct mode does not begin with."""

import pytest

from relayd.policy.fqdn import RESERVED, flaw_of


@pytest.mark.parametrize(
    "name",
    [
        "mx1.relay.example-corp.com",
        "MAIL.Firma.DE",
        "a.b",
        "notlocal.dev",
        "x.myexample.org",
        "x.de.",
    ],
)
def test_a_name_that_may_be_in_the_public_dns_has_no_flaw(name: str) -> None:
    assert flaw_of(name) == ""


@pytest.mark.parametrize(
    ("name", "flaw"),
    [
        ("relay", "has one label only"),
        ("", "has one label only"),
        ("[192.0.2.1]", "is an address"),
        ("192.0.2.1", "is an address"),
        ("2001:db8::1", "is an address"),
        ("relay.Example.ORG", "ends in example.org,"),
        ("localhost.", "ends in localhost,"),
    ],
)
def test_a_name_that_cannot_be_there_is_told_why(name: str, flaw: str) -> None:
    assert flaw in flaw_of(name)


@pytest.mark.parametrize("reserved", RESERVED)
def test_reserved_names_and_all_below_them_are_none(reserved: str) -> None:
    for name in (reserved, f"relay.{reserved}"):
        assert f"ends in {reserved}, which is nobody's in the public DNS" in flaw_of(name)

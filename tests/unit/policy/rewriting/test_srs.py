"""Reverse-paths of forwarded mail."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import Address, PathError, parse_address
from relayd.policy.rewriting import srs

KEY = b"k" * 32
OURS = "srs.example.com"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def forward(address: str, *, domain: str = OURS, now: datetime = NOW) -> Address:
    return srs.forward(parse_address(address), domain=domain, key=KEY, now=now)


def reverse(
    address: Address, *, domain: str = OURS, now: datetime = NOW, key: bytes = KEY
) -> str | None:
    found = srs.reverse(address, domain=domain, key=key, now=now)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    "address", ["ann@x.test", "Ann+tag=1@X.test", "a-b_c@sub.x.test", "SRS2=x@y.test"]
)
def test_a_path_leads_back(address: str) -> None:
    path = forward(address)
    assert path.domain == OURS
    assert path.local.startswith("SRS0=")
    assert reverse(path) == address
    assert reverse(Address(path.local.lower(), OURS.upper())) is not None, (
        "case was folded on the way"
    )


def test_a_path_of_another_forwarder_stays_short() -> None:
    """Each hop leads back to the one before; the path does not grow with them."""
    first = forward("ann@x.test", domain="one.example")
    second = forward(str(first), domain="two.example")
    third = forward(str(second), domain="three.example")
    assert second.local.startswith("SRS1=")
    assert len(third.local) == len(second.local)
    assert reverse(third, domain="three.example") == str(first)
    assert reverse(second, domain="two.example") == str(first)
    assert reverse(first, domain="one.example") == "ann@x.test"


def test_our_own_sender_needs_none() -> None:
    assert str(forward("ann@SRS.example.com")) == "ann@SRS.example.com"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ann@[192.0.2.1]", "no domain name"),
        ('"a b"@x.test', "makes no address"),
        (f"{'a' * 240}@x.test", "too long for SRS"),
    ],
)
def test_some_addresses_have_none(address: str, why: str) -> None:
    with pytest.raises(srs.NoSrs, match=why):
        forward(address)


def test_what_we_did_not_make_leads_nowhere() -> None:
    path = forward("ann@x.test")
    assert reverse(path, domain="other.example") is None
    assert reverse(path, key=b"other" * 8) is None
    assert reverse(parse_address(f"ann@{OURS}")) is None
    assert reverse(Address(path.local.replace("ann", "bob"), OURS)) is None
    assert reverse(Address(path.local.replace("x.test", "y.test"), OURS)) is None
    hashed = srs._hash("!!=x.test=ann", KEY)
    assert reverse(Address(f"SRS0={hashed}=!!=x.test=ann", OURS)) is None, "no day"
    hashed = srs._hash(f"{srs._day(NOW)}=x..test=ann", KEY)
    assert reverse(Address(f"SRS0={hashed}={srs._day(NOW)}=x..test=ann", OURS)) is None, (
        "no address"
    )


def test_a_path_ends_after_three_weeks() -> None:
    path = forward("ann@x.test")
    assert reverse(path, now=NOW + timedelta(days=21)) == "ann@x.test"
    assert reverse(path, now=NOW + timedelta(days=22)) is None
    assert reverse(path, now=NOW - timedelta(days=1)) is None, "not made yet"


@given(st.text("abc=+-.SRS01", min_size=1, max_size=30), st.text("ab.-", min_size=1, max_size=20))
def test_whatever_has_a_path_is_led_back_to(local: str, domain: str) -> None:
    try:
        address = parse_address(f"{local}@{domain}")
        path = forward(str(address))
    except (PathError, srs.NoSrs):
        return
    if path.local.upper().startswith("SRS0"):
        assert reverse(path) == str(address)


def test_our_domains_own_their_paths_alone() -> None:
    ours = srs.SrsDomains(domains=frozenset({OURS}), key=KEY)
    path = forward("ann@x.test")
    assert ours.owns(Address(path.local, OURS.upper()))
    assert not ours.owns(parse_address("ann@x.test"))
    assert str(ours.target_of(path, NOW)) == "ann@x.test"
    assert ours.target_of(parse_address(f"ann@{OURS}"), NOW) is None
    assert "kkk" not in repr(ours)

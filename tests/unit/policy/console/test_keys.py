"""API keys: their text, what is kept of them, and when they can be used."""

from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.console.keys import (
    ID_OCTETS,
    SECRET_OCTETS,
    KeyText,
    is_admitted,
    is_valid,
    make_key,
    parse_key,
)
from tests.support.clock import START

octets = st.binary
KEY = make_key(bytes(ID_OCTETS), bytes(range(SECRET_OCTETS)))


@given(octets(min_size=5, max_size=5), octets(min_size=20, max_size=20))
def test_what_is_made_is_read(id_octets: bytes, secret_octets: bytes) -> None:
    key = make_key(id_octets, secret_octets)
    assert parse_key(str(key)) == key
    assert len(str(key)) == 44


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rk_",
        str(KEY)[:-1],
        f"{KEY}a",
        f"{KEY}\n",
        f" {KEY}",
        str(KEY).upper(),
        str(KEY).replace("rk_", "sk_"),
        f"rk_{KEY.id}_{'1' * 32}",
        f"rk_{KEY.id}_{'é' * 32}",
    ],
)
def test_what_is_no_key(text: str) -> None:
    assert parse_key(text) is None


def test_the_secret_is_not_shown_by_accident() -> None:
    assert KEY.secret not in repr(KEY)
    assert KEY.id in repr(KEY)


def test_what_is_stored_is_the_hash_of_the_secret() -> None:
    assert KEY.hash == sha256(KEY.secret.encode()).digest()
    assert KEY.hash != KeyText(KEY.id, KEY.secret[:-1] + "2").hash


@pytest.mark.parametrize(
    ("disabled", "seconds", "valid"),
    [
        (False, None, True),
        (True, None, False),
        (False, 1, True),
        (False, 0, False),
        (True, 1, False),
    ],
)
def test_when_a_key_can_be_used(*, disabled: bool, seconds: int | None, valid: bool) -> None:
    expires_at = None if seconds is None else START + timedelta(seconds=seconds)
    assert is_valid(disabled=disabled, expires_at=expires_at, now=START) is valid


@pytest.mark.parametrize(
    ("client", "networks", "admitted"),
    [
        ("192.0.2.7", [], True),
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.3.7", ["192.0.2.0/24"], False),
        ("192.0.3.7", ["192.0.2.0/24", "192.0.3.7/32"], True),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], True),
        ("2001:db8::1", ["192.0.2.0/24", "2001:db8::/32"], True),
        ("", ["192.0.2.0/24"], False),
        ("no address", ["192.0.2.0/24"], False),
        ("", [], True),
    ],
)
def test_from_where_a_key_can_be_used(client: str, networks: list[str], *, admitted: bool) -> None:
    """No address is known on a unix socket, and an IPv4 client may come over IPv6."""
    assert is_admitted(client, [ip_network(each) for each in networks]) is admitted

"""Guessing passwords of the console: what is free, how waits grow, and that they end."""

from mmap import mmap

import pytest

from relayd.policy.console.backoff import OCTETS, PACE, LoginBackOff
from tests.support.forked import in_a_child

STRANGER, HOME = "192.0.2.7", "198.51.100.1"


def a_back_off() -> LoginBackOff:
    return LoginBackOff(b"secret", bytearray(OCTETS))


def fail(
    back_off: LoginBackOff, account: str, client: str, times: int, *, now: float = 0.0
) -> None:
    for _ in range(times):
        back_off.failed(account, client, now=now)


def test_the_waits_double_up_to_fifteen_minutes_and_end() -> None:
    back_off, now, waits = a_back_off(), 0.0, []
    for _ in range(12):
        back_off.failed("anna", STRANGER, now=now)
        waits.append(back_off.wait("anna", STRANGER, now=now))
        now += waits[-1]
        assert back_off.wait("anna", STRANGER, now=now) == 0
    assert waits[:9] == [0, 0, 0, 0, 30, 60, 120, 240, 480]
    assert max(waits) == waits[-1] == 900


@pytest.mark.parametrize(
    ("account", "client", "waits"),
    [
        ("anna", HOME, True),  # her account, from elsewhere
        ("ben", STRANGER, True),  # another account, from that address
        ("ben", HOME, False),
    ],
)
def test_account_and_address_count_each(account: str, client: str, *, waits: bool) -> None:
    back_off = a_back_off()
    fail(back_off, "anna", STRANGER, PACE.free)
    assert (back_off.wait(account, client, now=0.0) > 0) is waits


def test_an_ipv6_client_is_its_network() -> None:
    back_off = a_back_off()
    for number in range(PACE.free):
        back_off.failed(f"u{number}", f"2001:db8::{number}", now=0.0)
    assert back_off.wait("new", "2001:db8::ffff", now=0.0) > 0
    assert back_off.wait("new", "2001:db8:0:1::1", now=0.0) == 0


def test_strangers_lock_nobody_out() -> None:
    back_off = a_back_off()
    back_off.succeeded("anna", HOME, now=0.0)
    fail(back_off, "anna", STRANGER, 100)
    assert back_off.wait("anna", HOME, now=0.0) == 0
    fail(back_off, "anna", HOME, PACE.free)
    assert back_off.wait("anna", HOME, now=0.0) > 0
    assert back_off.wait("ben", HOME, now=0.0) == 0


def test_a_success_forgives_the_address_and_not_the_account() -> None:
    back_off = a_back_off()
    fail(back_off, "anna", HOME, PACE.free - 1)
    back_off.succeeded("anna", HOME, now=0.0)
    fail(back_off, "anna", HOME, PACE.free - 1)
    assert back_off.wait("anna", HOME, now=0.0) == 0
    fail(back_off, "anna", STRANGER, 1)
    assert back_off.wait("anna", STRANGER, now=0.0) > 0


def test_without_an_address_all_are_one() -> None:
    back_off = a_back_off()
    fail(back_off, "anna", "", PACE.free)
    assert back_off.wait("ben", "", now=0.0) > 0


@pytest.mark.parametrize("client", ["nonsense", "192.0.2.7:25", "1" * 70_000])
def test_what_is_no_address_is_none(client: str) -> None:
    back_off = a_back_off()
    fail(back_off, "anna", client, PACE.free)
    assert back_off.wait("ben", "", now=0.0) > 0


def test_who_makes_up_addresses_has_no_more_guesses() -> None:
    back_off = a_back_off()
    back_off.succeeded("anna", HOME, now=0.0)
    for number in range(PACE.free):
        assert back_off.wait("anna", f"203.0.113.{number}", now=0.0) == 0
        back_off.failed("anna", f"203.0.113.{number}", now=0.0)
    assert back_off.wait("anna", "203.0.113.99", now=0.0) > 0


def test_a_flood_of_names_gets_rid_of_no_count() -> None:
    back_off = a_back_off()
    fail(back_off, "anna", STRANGER, PACE.free)
    for number in range(30_000):
        back_off.failed(
            f"u{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", now=0.0
        )
    assert back_off.wait("anna", HOME, now=0.0) > 0


def test_workers_share_it() -> None:
    back_off = LoginBackOff(b"secret", mmap(-1, OCTETS))
    in_a_child(lambda: fail(back_off, "anna", STRANGER, PACE.free))
    in_a_child(lambda: back_off.succeeded("ben", HOME, now=0.0))
    assert back_off.wait("anna", HOME, now=0.0) > 0
    fail(back_off, "ben", STRANGER, PACE.free)
    assert back_off.wait("ben", HOME, now=0.0) == 0

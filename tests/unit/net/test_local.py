"""Which addresses would bring a connection back to us (S-22)."""

import socket
from contextlib import suppress
from ipaddress import IPv6Address, ip_address

import pytest

from relayd.errors import Shortage
from relayd.net.local import check_descriptors, has_address, is_own
from tests.support.shortage import no_descriptors

HERE, EVERYWHERE = ("127.0.0.1", 25), ("0.0.0.0", 25)


@pytest.mark.parametrize(
    ("ip", "listening", "own"),
    [
        pytest.param("127.0.0.1", {HERE}, True, id="our-listener"),
        pytest.param("::ffff:127.0.0.1", {HERE}, True, id="our-listener-mapped"),
        pytest.param("64:ff9b::127.0.0.1", {HERE}, True, id="our-listener-by-nat64"),
        pytest.param("127.0.0.2", {HERE}, False, id="a-server-beside-us"),
        pytest.param("127.0.0.1", {("127.0.0.1", 2525)}, False, id="a-server-on-another-port"),
        pytest.param("127.0.0.1", set(), False, id="we-do-not-listen"),
        pytest.param("::ffff:127.0.0.1", set(), False, id="we-do-not-listen-mapped"),
        pytest.param("127.0.0.9", {EVERYWHERE}, True, id="we-listen-everywhere"),
        pytest.param("::1", {("::", 25)}, True, id="we-listen-everywhere-ipv6"),
        pytest.param("127.0.0.9", {("0.0.0.0", 26)}, False, id="everywhere-on-another-port"),
        pytest.param("127.0.0.1", {("localhost", 25)}, True, id="our-listener-by-name"),
        pytest.param("::1", {("localhost", 25)}, True, id="our-listener-by-name-ipv6"),
        pytest.param("0.0.0.0", set(), False, id="unspecified-is-no-address"),
        pytest.param("::", set(), False, id="unspecified-ipv6"),
        pytest.param("224.0.0.1", set(), False, id="multicast"),
        pytest.param("ff02::1", set(), False, id="multicast-ipv6"),
        pytest.param("255.255.255.255", set(), False, id="broadcast"),
        pytest.param("192.0.2.251", set(), False, id="somebody-elses"),
        pytest.param("2001:db8::251", set(), False, id="somebody-elses-ipv6"),
    ],
)
def test_what_leads_back_to_us(ip: str, listening: set[tuple[str, int]], *, own: bool) -> None:
    assert is_own(ip_address(ip), 25, listening) is own


def own_addresses() -> list[str]:
    """Where the ways to the world begin, of both families; no way, no address."""
    found = []
    for family, world in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((world, 25))  # sends nothing
            found.append(str(probe.getsockname()[0]))
    return found


def test_every_address_of_this_machine_is_our_own() -> None:
    """Whether we listen there or not: a firewall or a proxy may lead it to us."""
    addresses = own_addresses()
    if not addresses:
        pytest.skip("this machine has no address but loopback")
    for ip in addresses:
        assert is_own(ip_address(ip), 25, set()), ip
        if ":" not in ip:
            assert is_own(ip_address(f"::ffff:{ip}"), 25, set()), ip
            assert is_own(ip_address(f"64:ff9b::{ip}"), 25, set()), ip
            assert is_own(IPv6Address(0x2002 << 112 | int(ip_address(ip)) << 80), 25, set()), ip


@pytest.mark.parametrize(("ip", "ours"), [("127.0.0.9", True), ("203.0.113.9", False)])
def test_what_connections_may_come_from(ip: str, *, ours: bool) -> None:
    assert has_address(ip_address(ip)) is ours


def test_without_descriptors_it_is_not_known_what_leads_back_to_us() -> None:
    """And no is the wrong guess: mail would run in circles."""
    with no_descriptors(), pytest.raises(Shortage, match="Too many open files"):
        is_own(ip_address("192.0.2.251"), 25, set())


def test_a_lack_of_descriptors_is_found_where_a_library_does_not_tell() -> None:
    check_descriptors()
    with no_descriptors(), pytest.raises(Shortage):
        check_descriptors()

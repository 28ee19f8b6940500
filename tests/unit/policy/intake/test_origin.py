"""What an address may do, and who counts as one client."""

from ipaddress import ip_network

import pytest

from relayd.policy.intake.origin import Origin

NETWORKS = tuple(map(ip_network, ("127.0.0.0/8", "::1/128", "192.0.2.0/24", "2001:db8:1::/64")))
RIGHTS = {
    "unix": (Origin(uid=1000), False, True, True),
    "unix, of a user nobody knows": (Origin(), False, True, True),
    "loopback": (Origin(ip="127.0.0.5"), True, True, True),
    "loopback, mapped": (Origin(ip="::ffff:127.0.0.5"), True, True, True),
    "near": (Origin(ip="192.0.2.7"), True, True, False),
    "with a zone": (Origin(ip="fe80::1%eth0"), False, False, False),
    "far": (Origin(ip="198.51.100.7"), False, False, False),
    "behind a loopback proxy": (Origin(ip="127.0.0.1", is_known=False), False, False, False),
    "behind a proxy near": (Origin(ip="192.0.2.7", is_known=False), False, False, False),
    "behind a proxy on a unix socket": (Origin(is_known=False), False, False, False),
}


@pytest.mark.parametrize(
    ("origin", "is_among", "may_relay", "is_here"), RIGHTS.values(), ids=RIGHTS
)
def test_rights_are_the_clients_own(
    origin: Origin, *, is_among: bool, may_relay: bool, is_here: bool
) -> None:
    """A proxy lends none of its own to a client that it does not know."""
    assert origin.is_among(NETWORKS) is is_among
    assert origin.may_relay(NETWORKS) is may_relay
    assert origin.is_here is is_here


NAMES = {
    "user": (Origin(uid=1000), "uid 1000", "uid 1000", "uid 1000"),
    "nobody knows which": (Origin(), "unix", "unix", "unix"),
    "IPv4": (Origin(ip="192.0.2.7"), "192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
    "mapped": (Origin(ip="::ffff:192.0.2.7"), "192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
    "IPv6": (
        Origin(ip="2001:db8:1:2:3:4:5:6"),
        "2001:db8:1:2::/64",
        "2001:db8:1:2:3:4:5:6",
        "2001:db8:1::/48",
    ),
    "zone": (Origin(ip="fe80::1%eth0"), "fe80::/64", "fe80::1", "fe80::/48"),
    "unknown": (
        Origin(ip="127.0.0.1", is_known=False),
        "behind 127.0.0.1",
        "behind 127.0.0.1",
        "behind 127.0.0.1",
    ),
}


@pytest.mark.parametrize(("origin", "as_stranger", "as_ours", "site"), NAMES.values(), ids=NAMES)
def test_who_counts_as_one(origin: Origin, as_stranger: str, as_ours: str, site: str) -> None:
    """A stranger has all addresses of its /64; hosts of a network of ours are told apart."""
    assert origin.client(is_stranger=True) == as_stranger
    assert origin.client(is_stranger=False) == as_ours
    assert origin.site == site

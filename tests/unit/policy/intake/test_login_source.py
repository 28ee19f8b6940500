"""Where a login comes from, and which networks that is in."""

import pytest

from relayd.policy.intake.login_source import Level, source_of
from relayd.policy.intake.origin import Origin


@pytest.mark.parametrize(
    ("ip", "networks"),
    [
        ("192.0.2.7", ["192.0.2.7/32", "192.0.2.0/24", "192.0.0.0/16"]),
        ("::ffff:192.0.2.7", ["192.0.2.7/32", "192.0.2.0/24", "192.0.0.0/16"]),
        (
            "2001:db8:1:203::7",
            ["2001:db8:1:203::/64", "2001:db8:1:200::/56", "2001:db8:1::/48", "2001:db8::/32"],
        ),
        ("fe80::1%eth0", ["fe80::/64", "fe80::/56", "fe80::/48", "fe80::/32"]),
    ],
)
def test_the_networks_of_a_client(ip: str, networks: list[str]) -> None:
    source = source_of(Origin(ip=ip))
    assert list(source.networks.values()) == networks
    assert list(source.networks) == sorted(source.networks)
    assert source.host == networks[0].removesuffix("/32")
    assert source.site == source.networks[Level.SITE]
    assert not source.is_here


@pytest.mark.parametrize("ip", ["127.0.0.1", "192.0.2.7", ""])
def test_clients_whom_a_proxy_does_not_know_are_one_network(ip: str) -> None:
    source = source_of(Origin(ip=ip, is_known=False))
    assert not source.is_here
    assert source.networks == dict.fromkeys((Level.SITE, Level.REGION), f"behind {ip}")
    assert source.host == source.site == f"behind {ip}"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (Origin(), "unix"),
        (Origin(uid=1000), "uid 1000"),
        (Origin(ip="127.0.0.1"), "loopback"),
        (Origin(ip="127.1.2.3"), "loopback"),
        (Origin(ip="::1"), "loopback"),
        (Origin(ip="::ffff:127.0.0.1"), "loopback"),
    ],
)
def test_this_machine_is_no_network(origin: Origin, host: str) -> None:
    source = source_of(origin)
    assert source.is_here
    assert source.host == source.site == host

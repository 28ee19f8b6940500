"""Which addresses a stranger's DNS may send us to, in whatever form it writes them."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.dns import IpAddress
from relayd.policy.delivery.address_filter import AddressVerdict, in_words, is_listed, vet_address

OWN = frozenset({ip_address("198.51.100.1"), ip_address("2001:db8:1::1")})

FORBIDDEN = [
    ("0.0.0.0", AddressVerdict.UNSPECIFIED),
    ("0.1.2.3", AddressVerdict.UNSPECIFIED),
    ("127.0.0.1", AddressVerdict.LOOPBACK),
    ("127.1.2.3", AddressVerdict.LOOPBACK),
    ("10.0.0.1", AddressVerdict.PRIVATE),
    ("172.16.0.1", AddressVerdict.PRIVATE),
    ("172.31.255.255", AddressVerdict.PRIVATE),
    ("192.168.1.1", AddressVerdict.PRIVATE),
    ("100.64.0.1", AddressVerdict.SHARED),
    ("100.127.255.255", AddressVerdict.SHARED),
    ("169.254.169.254", AddressVerdict.LINK_LOCAL),
    ("224.0.0.1", AddressVerdict.MULTICAST),
    ("239.255.255.255", AddressVerdict.MULTICAST),
    ("240.0.0.1", AddressVerdict.RESERVED),
    ("255.255.255.255", AddressVerdict.RESERVED),
    ("::", AddressVerdict.UNSPECIFIED),
    ("::1", AddressVerdict.LOOPBACK),
    ("fe80::1", AddressVerdict.LINK_LOCAL),
    ("febf::1", AddressVerdict.LINK_LOCAL),
    ("fec0::1", AddressVerdict.PRIVATE),
    ("fc00::1", AddressVerdict.PRIVATE),
    ("fdff::1", AddressVerdict.PRIVATE),
    ("ff02::1", AddressVerdict.MULTICAST),
    ("::ffff:127.0.0.1", AddressVerdict.LOOPBACK),
    ("::ffff:0.0.0.0", AddressVerdict.UNSPECIFIED),
    ("::ffff:10.0.0.1", AddressVerdict.PRIVATE),
    ("::ffff:100.64.0.1", AddressVerdict.SHARED),
    ("::ffff:169.254.169.254", AddressVerdict.LINK_LOCAL),
    ("::ffff:224.0.0.1", AddressVerdict.MULTICAST),
    ("::127.0.0.1", AddressVerdict.LOOPBACK),
    ("::0.0.0.2", AddressVerdict.UNSPECIFIED),
    ("::ffff:0:192.168.1.1", AddressVerdict.PRIVATE),
    ("64:ff9b::10.0.0.1", AddressVerdict.PRIVATE),
    ("64:ff9b::169.254.169.254", AddressVerdict.LINK_LOCAL),
    ("64:ff9b:1::127.0.0.1", AddressVerdict.LOOPBACK),
    ("64:ff9b:1:2:3:4:10.0.0.1", AddressVerdict.PRIVATE),
    ("64:ff9b:1:7f00:0:100::", AddressVerdict.LOOPBACK),  # behind 48 bits
    ("64:ff9b:1:aa7f::1:0:0", AddressVerdict.LOOPBACK),  # 127.0.0.1 behind 56 bits
    ("64:ff9b:1:aabb:7f:0:100:0", AddressVerdict.LOOPBACK),  # behind 64 bits
    ("64:ff9b:1::", AddressVerdict.UNSPECIFIED),
    ("2002:7f00:1::", AddressVerdict.LOOPBACK),
    ("2002:a9fe:a9fe::1", AddressVerdict.LINK_LOCAL),
    ("2001:0:808:808:0:0:f5ff:fffe", AddressVerdict.PRIVATE),  # Teredo, client 10.0.0.1
    ("2001:0:a00:1:0:0:3fff:fdfe", AddressVerdict.PRIVATE),  # Teredo, server 10.0.0.1
    ("2600::5efe:10.0.0.1", AddressVerdict.PRIVATE),
    ("2600::200:5efe:127.0.0.1", AddressVerdict.LOOPBACK),
    ("::8.8.8.8", AddressVerdict.RESERVED),  # compatible, and of no use
    ("::ffff:0:8.8.8.8", AddressVerdict.RESERVED),  # translated, inside a translator only
    ("2002:808:808::1", AddressVerdict.TRANSITION),
    ("64:ff9b:1::8.8.8.8", AddressVerdict.TRANSITION),
    ("64:ff9b:1:808:8:800::", AddressVerdict.TRANSITION),
    ("2001:0:808:808:0:0:f7f7:f7f7", AddressVerdict.TRANSITION),  # Teredo, both 8.8.8.8
    ("64:ff9b::192.0.2.1", AddressVerdict.DOCUMENTATION),
    ("fe80::1%eth0", AddressVerdict.LINK_LOCAL),
    ("200::1", AddressVerdict.RESERVED),  # an overlay that took what was free
    ("198.51.100.1", AddressVerdict.OWN),
    ("2001:db8:1::1", AddressVerdict.OWN),
    ("::ffff:198.51.100.1", AddressVerdict.OWN),
    ("2002:c633:6401::25", AddressVerdict.OWN),
    ("64:ff9b::198.51.100.1", AddressVerdict.OWN),
    ("2001:0:c000:201:0:0:39cc:9bfe", AddressVerdict.OWN),  # Teredo
]
USABLE = [
    *("1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "169.253.0.1", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.0.3.1"),
    *("192.167.255.255", "198.17.255.255", "198.20.0.0", "203.0.114.1", "223.255.255.255"),
    *("2000::1", "2600::1", "3ffe:ffff::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
    # What looks like a carrier and is none: 10.0.0.1 at its end means nothing.
    *("2600::10.0.0.1", "2003:a00:1::"),
]

# Rows of IANA's registries as of October 2025: RFC 6890, RFC 8190 and what was added to them.
NOT_GLOBALLY_REACHABLE = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.170/32", "192.0.0.171/32"),
    *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32", "224.0.0.0/4"),
    *("::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/32"),
    *("2001:2::/48", "2001:10::/28", "2001:1ff:ffff::/48", "2001:db8::/32", "2002::/16"),
    *("3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
]
GLOBALLY_REACHABLE = [
    *("192.0.0.9/32", "192.0.0.10/32", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24"),
    *("2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:3::/32", "2001:4:112::/48"),
    *("2001:20::/28", "2001:30::/28", "2620:4f:8000::/48"),
]
# Where we are stricter than `ipaddress`: it has no opinion, or an old one.
STRICTER = [
    *("192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4"),  # it calls multicast global
    *("2002::/16", "2001::/23", "2001:db8::/32", "3fff::/20", "64:ff9b:1::/48"),
    *("::/3", "4000::/2", "8000::/1"),  # no global unicast addresses
]
# And where we are not: the mapped address is that of IPv4, and the registry has exceptions.
NOT_AS_STRICT = ["::ffff:0:0/96", "192.0.0.9/32", "192.0.0.10/32", "2001::/23"]


@pytest.mark.parametrize(("ip", "verdict"), [pytest.param(*row, id=row[0]) for row in FORBIDDEN])
def test_nobody_sends_us_into_our_own_networks(ip: str, verdict: AddressVerdict) -> None:
    """S-22, S-26, A-60."""
    assert vet_address(ip_address(ip), own=OWN) is verdict


@pytest.mark.parametrize("ip", USABLE)
def test_what_lies_outside_is_usable(ip: str) -> None:
    assert vet_address(ip_address(ip), own=OWN) is AddressVerdict.USABLE


def ends(network: str) -> list[IpAddress]:
    return [ip_network(network)[0], ip_network(network)[-1]]


@pytest.mark.parametrize("network", NOT_GLOBALLY_REACHABLE)
def test_special_purpose_addresses_are_not_usable(network: str) -> None:
    """RFC 6890."""
    assert all(vet_address(ip) is not AddressVerdict.USABLE for ip in ends(network))


@pytest.mark.parametrize("network", GLOBALLY_REACHABLE)
def test_some_special_purpose_addresses_are_reachable(network: str) -> None:
    """RFC 8190."""
    assert all(vet_address(ip) is AddressVerdict.USABLE for ip in ends(network))


@given(
    st.one_of(
        st.ip_addresses(v=4),
        st.ip_addresses(v=6),
        st.ip_addresses(v=6, network="2000::/8"),
        *(st.ip_addresses(network=network) for network in [*STRICTER, *NOT_AS_STRICT]),
    )
)
def test_we_differ_from_the_library_where_we_mean_to(ip: IpAddress) -> None:
    is_usable = vet_address(ip) is AddressVerdict.USABLE
    is_isatap = in_words(ip) != str(
        ip
    )  # it may be any address, and the library does not look inside
    if is_usable != ip.is_global and not is_isatap:
        networks = NOT_AS_STRICT if is_usable else STRICTER
        assert any(ip in ip_network(network) for network in networks)


@pytest.mark.parametrize(
    ("networks", "ip", "verdict"),
    [
        pytest.param(["127.0.0.0/8"], "127.0.0.2", AddressVerdict.USABLE, id="permitted"),
        pytest.param(["127.0.0.0/8"], "::ffff:127.0.0.2", AddressVerdict.USABLE, id="mapped"),
        pytest.param(["127.0.0.2/32"], "127.0.0.3", AddressVerdict.LOOPBACK, id="no-more"),
        pytest.param(["fd00::/8"], "fd00::1", AddressVerdict.USABLE, id="ula"),
        pytest.param(["10.0.0.0/8"], "fd00::1", AddressVerdict.PRIVATE, id="other-family"),
        pytest.param(["0.0.0.0/0"], "198.51.100.1", AddressVerdict.OWN, id="never-our-own"),
        pytest.param(["::/0"], "64:ff9b::198.51.100.1", AddressVerdict.OWN, id="nor-inside"),
        pytest.param(["10.0.0.0/8"], "64:ff9b::10.0.0.1", AddressVerdict.USABLE, id="inner"),
        pytest.param(["64:ff9b::/96"], "64:ff9b::10.0.0.1", AddressVerdict.USABLE, id="outer"),
        pytest.param(
            ["10.0.0.0/8"],
            "2001:0:7f00:1:0:0:f5ff:fffe",
            AddressVerdict.LOOPBACK,
            id="one-inside-of-two",
        ),
        pytest.param(
            ["10.0.0.0/8", "127.0.0.1/32"],
            "2001:0:7f00:1:0:0:f5ff:fffe",
            AddressVerdict.USABLE,
            id="both-inside",
        ),
    ],
)
def test_listed_networks_are_permitted(
    networks: list[str], ip: str, verdict: AddressVerdict
) -> None:
    allowed = [ip_network(network) for network in networks]
    assert vet_address(ip_address(ip), own=OWN, allowed=allowed) is verdict
    assert is_listed(ip_address(ip), allowed) is (
        verdict in {AddressVerdict.USABLE, AddressVerdict.OWN}
    )


# Each writes an IPv4 address into an IPv6 address; `rest` fills the bits that are free in the form.
FORMS: dict[str, Callable[[int, int], int]] = {
    "mapped": lambda ip, _: 0xFFFF << 32 | ip,
    "translated": lambda ip, _: 0xFFFF << 48 | ip,
    "nat64": lambda ip, _: 0x64FF9B << 96 | ip,
    "local-nat64-96": lambda ip, rest: 0x64FF9B0001 << 80 | rest % 2**48 << 32 | ip,
    "local-nat64-64": lambda ip, rest: 0x64FF9B0001 << 80 | rest % 2**16 << 64 | ip << 24,
    "local-nat64-56": lambda ip, rest: (
        0x64FF9B0001 << 80 | rest % 2**8 << 72 | ip >> 24 << 64 | ip % 2**24 << 32
    ),
    "local-nat64-48": lambda ip, _: 0x64FF9B0001 << 80 | ip >> 16 << 64 | ip % 2**16 << 40,
    "6to4": lambda ip, rest: 0x2002 << 112 | ip << 80 | rest,
    "teredo-client": lambda ip, rest: (
        0x20010000 << 96 | rest % 2**64 << 32 | (ip ^ 0xFFFFFFFF)
    ),
    "teredo-server": lambda ip, rest: 0x20010000 << 96 | ip << 64 | rest % 2**64,
    "isatap": lambda ip, rest: 0x2600 << 112 | rest % 2**48 << 64 | 0x5EFE << 32 | ip,
    "isatap-unique": lambda ip, rest: 0x2600 << 112 | rest % 2**48 << 64 | 0x2005EFE << 32 | ip,
}  # fmt: skip
in_private_networks = st.one_of(
    *(
        st.ip_addresses(v=4, network=network).map(int)
        for network in ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16")
    ),
    st.just(int(ip_address("198.51.100.1"))),
)


@pytest.mark.parametrize("form", FORMS)
@given(ip=in_private_networks, rest=st.integers(0, 2**80 - 1))
def test_no_form_hides_where_a_connection_ends(form: str, ip: int, rest: int) -> None:
    assert vet_address(IPv4Address(ip), own=OWN) is not AddressVerdict.USABLE
    disguised = IPv6Address(FORMS[form](ip, rest))
    assert vet_address(disguised, own=OWN) is not AddressVerdict.USABLE


@given(st.integers(0, 2**32 - 1))
def test_a_disguised_ipv4_address_is_judged_as_itself(number: int) -> None:
    verdict = vet_address(IPv4Address(number), own=OWN)
    for form in ("mapped", "nat64"):
        assert vet_address(IPv6Address(FORMS[form](number, 0)), own=OWN) is verdict, form
    for form in ("translated", "local-nat64-96", "6to4"):  # of no use anyhow
        found = vet_address(IPv6Address(FORMS[form](number, 0)), own=OWN)
        assert found is not AddressVerdict.USABLE
        assert verdict in {found, AddressVerdict.USABLE}, form


@pytest.mark.parametrize(
    ("ip", "words"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2002:a00:1::", "2002:a00:1:: (for 10.0.0.1)"),
        ("2001:0:c000:201::f5ff:fffe", "2001:0:c000:201::f5ff:fffe (for 192.0.2.1, 10.0.0.1)"),
    ],
)
def test_people_see_what_an_address_stands_for(ip: str, words: str) -> None:
    assert in_words(ip_address(ip)) == words

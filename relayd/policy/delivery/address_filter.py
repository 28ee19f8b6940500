"""Judge an IP address that somebody else tells us to connect to: whether it is one of the internet.

Owns the forbidden networks, those that IANA does not call globally reachable, and the knowledge
of which IPv6 addresses stand for an IPv4 address: a gateway on the way hands such a connection on
to that one, so it is judged as well. Every address that somebody else's DNS names for us goes
through here. Asks nothing, connects to nobody.

Sources: semantics S-22, S-26, A-60; RFC 4291 §2.5.5 (mapped, compatible), RFC 2765 §2.1
(translated), RFC 3056 (6to4), RFC 4380 §4 (Teredo), RFC 5214 §6.1 (ISATAP), RFC 6052 §2.2 and
RFC 8215 (NAT64).
"""

from collections.abc import Collection
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Network, ip_network

from relayd.mail.dns import IpAddress
from relayd.policy.intake.admit import Network


class AddressVerdict(StrEnum):
    """May we connect to an address that the DNS gave? The words go after "is"."""

    USABLE = "usable"
    OWN = "our own"
    UNSPECIFIED = "unspecified"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    SHARED = "shared address space"  # carrier-grade NAT, RFC 6598
    LINK_LOCAL = "link-local"
    MULTICAST = "multicast"
    DOCUMENTATION = "for documentation"
    BENCHMARKS = "for benchmarks"
    TRANSITION = "of a transition mechanism"  # such an address leads to some gateway, or nowhere
    RESERVED = "reserved"


# IANA's registries of special-purpose addresses (IPv4, IPv6) as of October 2025: each network that is
# not marked as globally reachable, and after it the parts of it that are. Multicast has its own
# registries; site-local addresses are deprecated. Registries: RFC 6890, RFC 8190.
_SPECIAL: tuple[tuple[str, AddressVerdict, str, tuple[str, ...]], ...] = (
    ("0.0.0.0/8", AddressVerdict.UNSPECIFIED, "RFC 791", ()),
    ("10.0.0.0/8", AddressVerdict.PRIVATE, "RFC 1918", ()),
    ("100.64.0.0/10", AddressVerdict.SHARED, "RFC 6598", ()),
    ("127.0.0.0/8", AddressVerdict.LOOPBACK, "RFC 1122", ()),
    ("169.254.0.0/16", AddressVerdict.LINK_LOCAL, "RFC 3927", ()),
    ("172.16.0.0/12", AddressVerdict.PRIVATE, "RFC 1918", ()),
    ("192.0.0.0/24", AddressVerdict.RESERVED, "RFC 6890", ("192.0.0.9/32", "192.0.0.10/32")),
    ("192.0.2.0/24", AddressVerdict.DOCUMENTATION, "RFC 5737", ()),
    ("192.88.99.0/24", AddressVerdict.TRANSITION, "RFC 7526", ()),
    ("192.168.0.0/16", AddressVerdict.PRIVATE, "RFC 1918", ()),
    ("198.18.0.0/15", AddressVerdict.BENCHMARKS, "RFC 2544", ()),
    ("198.51.100.0/24", AddressVerdict.DOCUMENTATION, "RFC 5737", ()),
    ("203.0.113.0/24", AddressVerdict.DOCUMENTATION, "RFC 5737", ()),
    ("224.0.0.0/4", AddressVerdict.MULTICAST, "RFC 5771", ()),
    ("240.0.0.0/4", AddressVerdict.RESERVED, "RFC 1112", ()),  # and the broadcast address
    ("::/128", AddressVerdict.UNSPECIFIED, "RFC 4291", ()),
    ("::1/128", AddressVerdict.LOOPBACK, "RFC 4291", ()),
    ("100::/64", AddressVerdict.RESERVED, "RFC 6666", ()),  # is discarded
    ("100:0:0:1::/64", AddressVerdict.RESERVED, "RFC 9780", ()),
    ("64:ff9b:1::/48", AddressVerdict.TRANSITION, "RFC 8215", ()),
    ("2001::/32", AddressVerdict.TRANSITION, "RFC 4380", ()),
    ("2001:2::/48", AddressVerdict.BENCHMARKS, "RFC 5180", ()),
    (
        "2001::/23",
        AddressVerdict.RESERVED,
        "RFC 2928",
        (
            *("2001:1::1/128", "2001:1::2/128", "2001:1::3/128"),  # RFC 7723, RFC 8155, RFC 9665
            *("2001:3::/32", "2001:4:112::/48"),  # RFC 7450, RFC 7535
            *("2001:20::/28", "2001:30::/28"),  # RFC 7343, RFC 9374
        ),
    ),
    ("2001:db8::/32", AddressVerdict.DOCUMENTATION, "RFC 3849", ()),
    ("2002::/16", AddressVerdict.TRANSITION, "RFC 3056", ()),
    ("3fff::/20", AddressVerdict.DOCUMENTATION, "RFC 9637", ()),
    ("5f00::/16", AddressVerdict.RESERVED, "RFC 9602", ()),
    ("fc00::/7", AddressVerdict.PRIVATE, "RFC 4193", ()),
    ("fe80::/10", AddressVerdict.LINK_LOCAL, "RFC 4291", ()),
    ("fec0::/10", AddressVerdict.PRIVATE, "RFC 3879", ()),
    ("ff00::/8", AddressVerdict.MULTICAST, "RFC 4291", ()),
    # What is no global unicast address is not handed out (RFC 3587 §3): compatible and translated
    # addresses, and overlays that took a free network. An IPv4 address inside is judged by itself.
    *(
        (network, AddressVerdict.RESERVED, "RFC 4291", reachable)
        for network, reachable in (
            ("::/3", ("::ffff:0:0/96", "64:ff9b::/96")),
            ("4000::/2", ()),
            ("8000::/1", ()),
        )
    ),
)
_FORBIDDEN: tuple[tuple[Network, AddressVerdict, tuple[Network, ...]], ...] = tuple(
    (ip_network(network), verdict, tuple(map(ip_network, reachable)))
    for network, verdict, _, reachable in _SPECIAL
)
# IPv6 networks of which every address ends in an IPv4 address: compatible, mapped, translated, NAT64.
_ENDING = tuple(
    IPv6Network(each) for each in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
# NAT64 inside one network. How long its prefix is, its operator knows: the IPv4 address may stand
# behind each of these lengths.
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_NAT64_LENGTHS = (48, 56, 64, 96)
_NO_ADDRESS = (0, 1)  # :: and ::1 are no IPv4-compatible addresses
_ISATAP = (0x00005EFE, 0x02005EFE)  # the third quarter of the address


def forms(ip: IpAddress) -> tuple[IpAddress, ...]:
    """Return the address, and every IPv4 address that it may stand for."""
    return (ip, *_inside(ip))


def is_listed(ip: IpAddress, networks: Collection[Network]) -> bool:
    """Tell whether the operator has listed an address: itself, or all that it stands for."""
    inside = _inside(ip)
    return _is_among(ip, networks) or (
        bool(inside) and all(_is_among(each, networks) for each in inside)
    )


def vet_address(
    ip: IpAddress, *, own: Collection[IpAddress] = (), allowed: Collection[Network] = ()
) -> AddressVerdict:
    """Judge an address that a stranger's DNS wants us to connect to (S-26).

    It is judged in all its forms, and the first one that is forbidden decides, those that it stands
    for before itself. What is in the networks `allowed` is permitted, but never our own addresses (S-22): that would be a loop.
    """
    if any(form in own for form in forms(ip)):
        return AddressVerdict.OWN
    if is_listed(ip, allowed):
        return AddressVerdict.USABLE
    for form in (*_inside(ip), ip):
        for network, verdict, reachable in _FORBIDDEN:
            if form in network and not _is_among(form, reachable):
                return verdict
    return AddressVerdict.USABLE


def in_words(ip: IpAddress) -> str:
    """Return the address for people, with the IPv4 addresses it stands for."""
    inside = ", ".join(map(str, _inside(ip)))
    return f"{ip} (for {inside})" if inside else str(ip)


def _is_among(ip: IpAddress, networks: Collection[Network]) -> bool:
    return any(ip in network for network in networks)


def _inside(ip: IpAddress) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an address stands for; IPv4 and most of IPv6 stand for none."""
    if isinstance(ip, IPv4Address) or int(ip) in _NO_ADDRESS:
        return ()
    if ip.sixtofour is not None:
        return (ip.sixtofour,)
    if ip.teredo is not None:  # the server, and the client behind its NAT
        return ip.teredo
    if ip in _LOCAL_NAT64:
        return _translated(ip.packed)
    if any(ip in network for network in _ENDING) or int(ip) >> 32 & 0xFFFFFFFF in _ISATAP:
        return (IPv4Address(int(ip) & 0xFFFFFFFF),)
    return ()


def _translated(packed: bytes) -> tuple[IPv4Address, ...]:
    """Return what may be the IPv4 address behind a NAT64 prefix, for each length of the prefix.

    The bits 64 to 71 are never part of it. What begins with 0 is padding, unless there is no other.
    """
    octets = packed[:8] + packed[9:]
    starts = [length // 8 - (length > 64) for length in _NAT64_LENGTHS]
    found = [IPv4Address(octets[start : start + 4]) for start in starts]
    return tuple(each for each in found if each.packed[0]) or (found[-1],)

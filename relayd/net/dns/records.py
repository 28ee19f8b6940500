"""What a mail relay needs of the data of DNS records, by type.

Each reader takes the message, and where the data begin and end in it; it returns a value that can be
compared. Raises Malformed, IndexError or struct.error for what is no such record.

Sources: RFC 1035 §3.3, §3.4.1; RFC 3596 §2.2 (AAAA); RFC 6698 §2.1 (TLSA). What TLSA records with odd
numbers or digests are good for is for DANE to say.
"""

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from relayd.net.dns.names import Malformed, as_text, read_name

_PREFERENCE = struct.Struct("!H")
_SOA_NUMBERS = struct.Struct("!IIIII")

Mx = tuple[int, str]  # preference, host in lower case; the root is empty
Tlsa = tuple[int, int, int, bytes]  # usage, selector, matching type, data
Value = Any  # what `READERS` make of a record, by its type

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, OPT, TLSA = 1, 2, 5, 6, 12, 15, 16, 28, 41, 52
TYPES = {
    "A": A,
    "CNAME": CNAME,
    "SOA": SOA,
    "PTR": PTR,
    "MX": MX,
    "TXT": TXT,
    "AAAA": AAAA,
    "TLSA": TLSA,
    "NS": NS,
}


def read_target(wire: bytes, at: int, end: int) -> bytes:
    """Return the name that is all of the data."""
    name, behind = read_name(wire, at)
    if behind != end:
        raise Malformed
    return name


def read_minimum(wire: bytes, at: int, end: int) -> int:
    """Return the seconds for which a SOA record lets nothing be remembered (RFC 2308 §4)."""
    _, at = read_name(wire, at)
    _, at = read_name(wire, at)
    if at + _SOA_NUMBERS.size != end:
        raise Malformed
    minimum: int = _SOA_NUMBERS.unpack_from(wire, at)[-1]
    return minimum


def _a(wire: bytes, at: int, end: int) -> IPv4Address:
    if end - at != 4:
        raise Malformed
    return IPv4Address(wire[at:end])


def _aaaa(wire: bytes, at: int, end: int) -> IPv6Address:
    if end - at != 16:
        raise Malformed
    return IPv6Address(wire[at:end])


def _mx(wire: bytes, at: int, end: int) -> Mx:
    (preference,) = _PREFERENCE.unpack_from(wire, at)
    return preference, as_text(read_target(wire, at + _PREFERENCE.size, end))


def _name(wire: bytes, at: int, end: int) -> str:
    return as_text(read_target(wire, at, end))


def _txt(wire: bytes, at: int, end: int) -> bytes:
    """Return the strings of a record as one (RFC 7208 §3.3)."""
    strings = []
    while at < end:
        behind = at + 1 + wire[at]
        strings.append(wire[at + 1 : behind])
        at = behind
    if at != end or not strings:
        raise Malformed
    return b"".join(strings)


def _tlsa(wire: bytes, at: int, end: int) -> Tlsa:
    if end - at < 3:
        raise Malformed
    return wire[at], wire[at + 1], wire[at + 2], wire[at + 3 : end]


READERS: dict[int, Callable[[bytes, int, int], Value]] = {
    A: _a,
    AAAA: _aaaa,
    MX: _mx,
    CNAME: _name,
    PTR: _name,
    NS: _name,
    TXT: _txt,
    SOA: read_minimum,
    TLSA: _tlsa,
}

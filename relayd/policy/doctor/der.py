"""Read the few things of DER that checks need: the size of an RSA key, a certificate's names, dates and key.

Not a general parser, and no proof of anything: a certificate is verified by those who connect.

Sources: X.690 (DER); RFC 5280 §4.1 (certificate), §4.2.1.6 (subjectAltName); RFC 8017 §A.1.1,
RFC 5280 §4.1.2.7 (keys).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_INTEGER, _BITS, _OCTETS, _OID, _SEQUENCE = 0x02, 0x03, 0x04, 0x06, 0x30
_UTC_TIME = 0x17  # with two digits of the year
_VERSION, _EXTENSIONS, _DNS_NAME = 0xA0, 0xA3, 0x82
_ALTERNATIVE_NAMES = bytes((0x55, 0x1D, 0x11))  # 2.5.29.17

Element = tuple[int, bytes]  # tag, content


class DerError(ValueError):
    """Not what was expected there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    names: tuple[str, ...]  # of subjectAltName, in lower case
    not_before: datetime
    not_after: datetime


def rsa_bits(key: bytes) -> int:
    """Return the size of an RSA key, as SubjectPublicKeyInfo or bare. Raises DerError."""
    fields = _inside(key, _SEQUENCE)
    if fields and fields[0][0] == _SEQUENCE:
        _, bits = _nth(fields, 1, _BITS)
        fields = _inside(bits[1:], _SEQUENCE)
    _, modulus = _nth(fields, 0, _INTEGER)
    return int.from_bytes(modulus).bit_length()


def read_certificate(der: bytes) -> CertificateFacts:
    """Return what a certificate says. Raises DerError."""
    fields = _fields(der)
    dates = _inside(_nth(fields, 3, _SEQUENCE)[1])
    if len(dates) != 2:
        raise DerError("no validity")
    return CertificateFacts(
        names=_names_in(fields), not_before=_time(dates[0]), not_after=_time(dates[1])
    )


def names_of(der: bytes) -> tuple[str, ...]:
    """Return the DNS names of subjectAltName, in lower case. Raises DerError."""
    return _names_in(_fields(der))


def public_key_of(der: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate, octet by octet as it is there. Raises DerError."""
    return _field(der, 5)


def issuer_of(der: bytes) -> bytes:
    """Return the Name of who issued a certificate, octet by octet as it is there. Raises DerError."""
    return _field(der, 2)


def _field(der: bytes, number: int) -> bytes:
    """Return a field of a certificate, each of which is a sequence; numbers are those after the version."""
    certificate = _nth(_inside(der, _SEQUENCE), 0, _SEQUENCE)[1]
    places = list(_places(certificate))
    if places and certificate[0] == _VERSION:
        places = places[1:]
    if len(places) <= number or certificate[places[number][0]] != _SEQUENCE:
        raise DerError("a field is missing")
    begin, _, end = places[number]
    return certificate[begin:end]


def _fields(der: bytes) -> Sequence[Element]:
    """Return the fields of a certificate behind its version. Raises DerError."""
    fields = _inside(_nth(_inside(der, _SEQUENCE), 0, _SEQUENCE)[1])
    return fields[1:] if fields and fields[0][0] == _VERSION else fields


def _names_in(fields: Sequence[Element]) -> tuple[str, ...]:
    return tuple(_names(next((content for tag, content in fields if tag == _EXTENSIONS), b"")))


def _names(extensions: bytes) -> Iterator[str]:
    for _, extension in _inside(extensions, _SEQUENCE) if extensions else ():
        parts = _inside(extension)
        if _nth(parts, 0, _OID)[1] == _ALTERNATIVE_NAMES:
            for tag, content in _inside(_nth(parts, -1, _OCTETS)[1], _SEQUENCE):
                if tag == _DNS_NAME:
                    yield content.decode("ascii", "replace").lower()


def _time(element: Element) -> datetime:
    tag, content = element
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    try:
        return datetime.strptime(content.decode("ascii"), form).replace(tzinfo=UTC)
    except ValueError:
        raise DerError("no date") from None


def _inside(octets: bytes, wrapped: int | None = None) -> Sequence[Element]:
    """Return the elements one after the other; of the first one of type `wrapped`, if given."""
    if wrapped is not None:
        return _inside(_nth(_inside(octets), 0, wrapped)[1])
    return [(octets[at], octets[start:end]) for at, start, end in _places(octets)]


def _places(octets: bytes) -> Iterator[tuple[int, int, int]]:
    """Tell of each element where it begins, where its content does, and where both end. Raises DerError."""
    at = 0
    while at < len(octets):
        start, end = _extent(octets, at + 1)
        yield at, start, end
        at = end


def _extent(octets: bytes, at: int) -> tuple[int, int]:
    """Return where the content begins and ends, whose length is at `at`."""
    first = octets[at] if at < len(octets) else 0x80
    more = first & 0x7F if first & 0x80 else 0
    length = int.from_bytes(octets[at + 1 : at + 1 + more]) if more else first
    start = at + 1 + more
    if first == 0x80 or start + length > len(octets):
        raise DerError("cut short")
    return start, start + length


def _nth(elements: Sequence[Element], place: int, tag: int) -> Element:
    if place >= len(elements) or not elements or elements[place][0] != tag:
        raise DerError("something else")
    return elements[place]

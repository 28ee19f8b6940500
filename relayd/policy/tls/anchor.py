"""Trust anchors of TLSA records, as those who verify chains take them.

A record may name its anchor by a bare key, which no verifier takes. So a certificate is made around the key, in the name of who
issued the chain. Its own signature means nothing: an anchor is trusted as it is.

Sources: RFC 7671 §5.2.2, §5.2.3 (a bare key); RFC 5280 §4.1 (certificate), §4.2.1.9 (basicConstraints).
"""

from dataclasses import dataclass

_BITS, _OCTETS, _SEQUENCE, _VERSION, _EXTENSIONS = 0x03, 0x04, 0x30, 0xA0, 0xA3
_ONE, _TRUE = b"\x02\x01\x01", b"\x01\x01\xff"
_V3 = b"\x02\x01\x02"
_SIGNED_BY = bytes.fromhex("06082a8648ce3d040302")  # OID ecdsa-with-SHA256
_BASIC_CONSTRAINTS = bytes.fromhex("0603551d13")  # OID
_ALWAYS = b"\x17\x0d000101000000Z", b"\x18\x0f99991231235959Z"


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a chain may lead to: a certificate, or a bare key."""

    der: bytes
    is_key: bool = False


def certificate_around(key: bytes, name: bytes) -> bytes:
    """Return the certificate of an authority with this SubjectPublicKeyInfo and Name, all as DER."""
    algorithm = _tlv(_SEQUENCE, _SIGNED_BY)
    is_authority = _tlv(_SEQUENCE, _BASIC_CONSTRAINTS, _TRUE, _tlv(_OCTETS, _tlv(_SEQUENCE, _TRUE)))
    fields = (
        _tlv(_VERSION, _V3),
        _ONE,  # serial number
        algorithm,
        name,
        _tlv(_SEQUENCE, *_ALWAYS),
        name,
        key,
        _tlv(_EXTENSIONS, _tlv(_SEQUENCE, is_authority)),
    )
    return _tlv(_SEQUENCE, _tlv(_SEQUENCE, *fields), algorithm, _tlv(_BITS, b"\x00\x00"))


def _tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size) + content

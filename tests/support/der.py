"""Write DER by hand: keys of any size without making one, certificates with any mistake."""

from base64 import b64encode
from datetime import datetime

RSA = bytes.fromhex("06092a864886f70d0101010500")  # OID rsaEncryption, NULL


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element."""
    content = b"".join(parts)
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size) + content


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def bare_rsa(bits: int) -> bytes:
    """RSAPublicKey with a modulus of so many bits; nobody has its factors."""
    return sequence(integer((1 << bits) - 1), integer(65537))


def rsa(bits: int) -> bytes:
    """The same as SubjectPublicKeyInfo."""
    return sequence(sequence(RSA), tlv(0x03, b"\0", bare_rsa(bits)))


def base64(octets: bytes) -> str:
    return b64encode(octets).decode()


def names(*dns: str) -> bytes:
    """The extension subjectAltName, with an IP address at its end."""
    listed = sequence(*(tlv(0x82, each.encode()) for each in dns), tlv(0x87, b"\xc0\0\2\1"))
    return sequence(tlv(0x06, b"\x55\x1d\x11"), tlv(0x04, listed))


def utc(at: datetime) -> bytes:
    return tlv(0x17, at.strftime("%y%m%d%H%M%SZ").encode())


def certificate(*dates: bytes, extensions: tuple[bytes, ...] = (), version: bool = True) -> bytes:
    """What matters of one; the signature is missing."""
    fields = [tlv(0xA0, integer(2))] if version else []
    fields += [integer(1), sequence(RSA), sequence(), sequence(*dates), sequence(), rsa(1024)]
    if extensions:
        fields.append(tlv(0xA3, sequence(*extensions)))
    return sequence(sequence(*fields))

"""VERP addresses: reverse-paths that say which recipient an asynchronous bounce is about, and that nobody can make up.

Owns the format: `b+TOKEN@verp_domain`, where TOKEN is the version digit and, in base 32, message,
recipient and a signature over both. Letters and digits only, any case: servers on the way back fold
case, and some treat other characters in their own ways. Everybody who received a mail knows its token, so
it proves which recipient is meant and nothing more. Nobody else is told: what others say to us may
repeat a token, and is masked before it is kept or shown.

Source: RFC 5321 §4.5.3.1.1 (64 octets of a local part, which every server takes), RFC 2104 (HMAC).
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from relayd.mail.address import Address
from relayd.mail.ids import MessageId

KEY_OCTETS = 32  # of a key to be made
_LEAST_KEY = 16  # octets
_PREFIX = "b+"
_VERSION = "1"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # as queue ids: no i, l, o, u
_DIGITS = {digit: value for value, digit in enumerate(_ALPHABET)}
_SUBJECT = 12  # octets: message id 8, number of the recipient 4
_SIGNATURE = 16  # octets, the left half of HMAC-SHA-256
_LENGTH = 45  # characters: 28 octets and one bit that is always zero
_SHORTEST = len(_PREFIX + _VERSION) + _LENGTH  # characters of a token in text
# The `+` may be encoded as in xtext, quoted-printable or a link, and a soft line break be anywhere.
_SOFT = r"(?:=\r?\n)?"
_IN_TEXT = rf"(?<=b){_SOFT}(?:\+|[+=%]2B){_SOFT}{_VERSION}(?:{_SOFT}[{_ALPHABET}]){{{_LENGTH}}}"
_TEXT = re.compile(_IN_TEXT, re.IGNORECASE | re.ASCII)
_OCTETS = re.compile(_IN_TEXT.encode(), re.IGNORECASE)
_NO_LETTER = re.compile(rb"[^0-9A-Za-z]")
_LOOKED_AT = 20  # tokens in one mail
_LOCAL = re.compile(
    re.escape(_PREFIX + _VERSION) + f"([{_ALPHABET}]{{{_LENGTH}}})", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerpToken:
    """Whom a VERP address stands for."""

    message_id: MessageId
    recipient: int


def encode(message_id: MessageId, recipient: int, *, key: bytes, domain: str) -> Address:
    """Return the VERP address for one recipient. Raises OverflowError beyond 32 bits of recipients."""
    subject = int(message_id).to_bytes(8, "big") + recipient.to_bytes(4, "big")
    value = int.from_bytes(subject + _sign(subject, key), "big")
    token = "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(_LENGTH)))
    return Address(f"{_PREFIX}{_VERSION}{token}", domain)


def decode(address: Address, *, key: bytes, domain: str) -> VerpToken | None:
    """Return whom `address` stands for; None if we did not make it with this key."""
    found = _LOCAL.fullmatch(address.local)
    if found is None or address.domain.lower() != domain.lower():
        return None
    value = 0
    for char in found[1].lower():
        value = value << 5 | _DIGITS[char]
    if value >> 8 * (_SUBJECT + _SIGNATURE):
        return None
    octets = value.to_bytes(_SUBJECT + _SIGNATURE, "big")
    subject, signature = octets[:_SUBJECT], octets[_SUBJECT:]
    if not hmac.compare_digest(signature, _sign(subject, key)):
        return None
    return VerpToken(
        message_id=MessageId(int.from_bytes(subject[:8], "big")),
        recipient=int.from_bytes(subject[8:], "big"),
    )


def tokens_in(content: bytes, *, key: bytes, domain: str) -> Iterator[VerpToken]:
    """Yield whom the tokens in the octets of a mail stand for, those that this key has made.

    A complaint encloses the mail, with its Return-Path. Looks at no more than `_LOOKED_AT` of them.
    """
    for found in islice(_OCTETS.finditer(content), _LOOKED_AT):
        token = _NO_LETTER.sub(b"", found[0])[-_LENGTH:].decode()
        address = Address(f"{_PREFIX}{_VERSION}{token}", domain)
        if (meant := decode(address, key=key, domain=domain)) is not None:
            yield meant


def masked(text: str) -> str:
    """Return `text` with stars for every token, by whatever relay; its length stays."""
    if len(text) < _SHORTEST:
        return text
    return _TEXT.sub(lambda found: "+" + "*" * (len(found[0]) - 1), text)


def masked_octets(content: bytes) -> bytes:
    """Return the octets of a mail with stars for every token, as `masked` does."""
    return _OCTETS.sub(lambda found: b"+" + b"*" * (len(found[0]) - 1), content)


def _sign(subject: bytes, key: bytes) -> bytes:
    if len(key) < _LEAST_KEY:
        raise ValueError("the key of the VERP addresses has less than 16 octets")
    signed = b"relayd return path " + _VERSION.encode() + b"\0" + subject
    return hmac.digest(key, signed, hashlib.sha256)[:_SIGNATURE]

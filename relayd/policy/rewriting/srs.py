"""SRS: reverse-paths of forwarded mail, in a domain of ours, from which the first one can be read again.

`SRS0=HASH=DAY=DOMAIN=LOCAL@ours` stands for `LOCAL@DOMAIN`. One that another forwarder made becomes
`SRS1=HASH=FORWARDER=REST@ours`, so that no path grows with each forwarder. The hash keeps strangers from using
us to send mail to anybody; the day ends it after three weeks.

Source: M. Wong, "Sender Rewriting Scheme" (2004), www.libsrs2.org/srs/srs.pdf; RFC 2104 (HMAC).
"""

import hashlib
import hmac
import re
from base64 import b32encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relayd.mail.address import Address, PathError, parse_address

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # base 32, RFC 4648 §6
_DAYS = len(_DIGITS) ** 2  # after which the days begin again
_VALID = timedelta(days=21)  # of a path: longer than any queue keeps a mail
_HASH = 8  # characters of base 32, 40 bits: a guess is one mail
_LONGEST = 254  # characters of an address: RFC 5321 §4.5.3.1.3, without the brackets
_SRS0 = re.compile(r"SRS0[=+-]([^=]+)=([^=]+)=([^=]+)=(.+)", re.IGNORECASE)
_SRS1 = re.compile(r"SRS1[=+-]([^=]+)=([^=]+)=(.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SrsDomains:
    """The domains of our SRS paths, in lower case, and the key that they are made by."""

    domains: frozenset[str]
    key: bytes = field(repr=False)

    def owns(self, address: Address) -> bool:
        """Tell whether an address lies in one of them: it is a path of ours, or nothing."""
        return address.domain.lower() in self.domains

    def target_of(self, path: Address, now: datetime) -> Address | None:
        """Return whom a path stands for; None: nobody."""
        return reverse(path, domain=path.domain, key=self.key, now=now)


class NoSrs(ValueError):
    """There is no such path; the text says why."""


def forward(address: Address, *, domain: str, key: bytes, now: datetime) -> Address:
    """Return the reverse-path to send on with, for mail from `address`. Raises NoSrs."""
    if address.domain.lower() == domain.lower():
        return address
    if address.is_literal:
        raise NoSrs(f"{address} has no domain name, so SRS cannot name it")
    if found := _SRS0.fullmatch(address.local):
        rest = address.local[len("SRS0") :]
        subject = f"{address.domain}={rest}"
        local = f"SRS1={_hash(subject, key)}={subject}"
    elif found := _SRS1.fullmatch(address.local):
        subject = f"{found[2]}={found[3]}"
        local = f"SRS1={_hash(subject, key)}={subject}"
    else:
        subject = f"{_day(now)}={address.domain}={address.local}"
        local = f"SRS0={_hash(subject, key)}={subject}"
    try:
        path = parse_address(f"{local}@{domain}")
    except PathError as error:
        raise NoSrs(f"SRS makes no address of {address}: {error}") from None
    if len(str(path).encode()) > _LONGEST:
        raise NoSrs(f"{address} is too long for SRS: {_LONGEST} octets are all an address may have")
    return path


def reverse(address: Address, *, domain: str, key: bytes, now: datetime) -> Address | None:
    """Return the address that a path of ours stands for; None: we did not make it, or too long ago."""
    if address.domain.lower() != domain.lower():
        return None
    if found := _SRS0.fullmatch(address.local):
        hashed, subject = found[1], f"{found[2]}={found[3]}={found[4]}"
        written = f"{found[4]}@{found[3]}"
        is_fresh = _is_fresh(found[2], now)
    elif found := _SRS1.fullmatch(address.local):
        hashed, subject = found[1], f"{found[2]}={found[3]}"
        written = f"SRS0{found[3]}@{found[2]}"
        is_fresh = True  # the forwarder that it goes back to judges that
    else:
        return None
    if not is_fresh or not hmac.compare_digest(
        hashed.upper().encode(), _hash(subject, key).encode()
    ):
        return None
    try:
        return parse_address(written)
    except PathError:
        return None


def _hash(subject: str, key: bytes) -> str:
    # Servers on the way back fold case, so case is no part of it.
    digest = hmac.digest(key, b"relayd srs\0" + subject.lower().encode(), hashlib.sha256)
    return b32encode(digest)[:_HASH].decode()


def _day_number(now: datetime) -> int:
    return int(now.timestamp() // 86_400)


def _day(now: datetime) -> str:
    high, low = divmod(_day_number(now) % _DAYS, len(_DIGITS))
    return _DIGITS[high] + _DIGITS[low]


def _is_fresh(day: str, now: datetime) -> bool:
    try:
        high, low = map(_DIGITS.index, day.upper())
    except ValueError:
        return False
    made = high * len(_DIGITS) + low
    return (_day_number(now) - made) % _DAYS <= _VALID.days

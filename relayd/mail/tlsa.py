"""TLSA records: which certificate or key a host may show (DANE).

Owns the record as a value and what makes one usable for SMTP. Which of them a chain fits is decided in
`relayd.policy.tls.dane`. Records with usage 0 or 1 lean on public authorities, and no SMTP client follows them.

Sources: RFC 6698 §2.1, §2.2 (fields, presentation format); RFC 7671 §5 (usages); RFC 7672 §3.1 (SMTP).
"""

from dataclasses import dataclass

DANE_TA, DANE_EE = 2, 3  # usages
CERTIFICATE, KEY = 0, 1  # selectors
FULL = 0  # matching type: the data is the whole certificate or key
DIGEST_OCTETS = {1: 32, 2: 64}  # matching types SHA-256 and SHA-512
_SHOWN = 12  # digits of the data, for people


class TlsaError(ValueError):
    """Not a TLSA record; the text says why."""


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One record as it came, usable or not."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def is_usable(self) -> bool:
        """Tell whether it may authenticate a mail host."""
        return (
            self.usage in (DANE_TA, DANE_EE)
            and self.selector in (CERTIFICATE, KEY)
            and bool(self.data)
            and (self.matching == FULL or len(self.data) == DIGEST_OCTETS.get(self.matching))
        )

    @property
    def short(self) -> str:
        """What people know it by: the numbers, and how its data begins."""
        digits = self.data.hex()
        more = "…" if len(digits) > _SHOWN else ""
        return f"{self.usage} {self.selector} {self.matching} {digits[:_SHOWN]}{more}"

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


def parse_tlsa(text: str) -> Tlsa:
    """Return the record of a presentation format such as `3 1 1 0d6f…`. Raises TlsaError."""
    parts = text.split()
    if len(parts) < 4 or not all(part.isascii() and part.isdigit() for part in parts[:3]):
        raise TlsaError("not three numbers and data")
    usage, selector, matching = (int(part) for part in parts[:3])
    if max(usage, selector, matching) > 255:
        raise TlsaError("a number above 255")
    try:
        data = bytes.fromhex("".join(parts[3:]))
    except ValueError:
        raise TlsaError("data that is not hexadecimal") from None
    return Tlsa(usage, selector, matching, data)

"""A DKIM key over its life: made, published, used, replaced, taken out of the DNS.

Owns names of selectors and files, the record and its form in a zone file, and how long the record of a key
that was replaced has to stay: mail that waits still has its signature.

Sources: RFC 6376 §3.1 (selectors, rotation), §3.6.1 (record); RFC 8463 §4 (Ed25519); RFC 1035 §3.3.14 (strings of 255 octets).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from relayd.policy.doctor.dkim import key_name

_STRING = 255  # octets of one string of a TXT record
_TTL = 3600  # seconds; nobody asks often, and a mistake is gone within the hour
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ON_THE_WAY = timedelta(
    days=2
)  # beyond our own retries: those of a smarthost, and who verifies late
PEM, RETIRED = "pem", "retired"


class KeyKind(StrEnum):
    """As k= of a record has it."""

    RSA = "rsa"
    ED25519 = "ed25519"


class NoSelector(ValueError):
    """All selectors of a year are taken."""


@dataclass(frozen=True, slots=True)
class Published:
    """What the DNS should have for a key."""

    domain: str
    selector: str
    record: str  # the whole text

    @property
    def name(self) -> str:
        return key_name(self.selector, self.domain)

    @property
    def zone_lines(self) -> str:
        """The record as a zone file has it."""
        strings = [
            f'"{self.record[at : at + _STRING]}"' for at in range(0, len(self.record), _STRING)
        ]
        text = strings[0] if len(strings) == 1 else "( {} )".format("\n    ".join(strings))
        return f"{self.name}. {_TTL} IN TXT {text}"


def record_of(kind: KeyKind, public: str) -> str:
    """Return the record of a public key, which is given as p= has it."""
    return f"v=DKIM1; k={kind}; p={public}"


def next_selector(kind: KeyKind, year: int, taken: Collection[str]) -> str:
    """Return the first of `r2026a`, `r2026b`… that is not taken. Raises NoSelector."""
    for letter in _LETTERS:
        selector = f"{kind[0]}{year}{letter}"
        if selector not in taken:
            return selector
    raise NoSelector(f"all {len(_LETTERS)} selectors of {kind} and {year} are taken")


def file_name(domain: str, selector: str, end: str = PEM) -> str:
    """Return the name of a key file, or of the note about one that was replaced."""
    return f"dkim-{domain}-{selector}.{end}"


def selector_in(name: str, domain: str, end: str = PEM) -> str | None:
    """Return the selector in the name of a file; None for one that is not for this domain, or no such file."""
    begin, finish = f"dkim-{domain}-", f".{end}"
    selector = name.removeprefix(begin).removesuffix(finish)
    return selector if selector and name == f"{begin}{selector}{finish}" else None


def stays_until(now: datetime, give_up_after: timedelta) -> datetime:
    """Return until when the record of a key has to stay that signed until now."""
    return now + give_up_after + _ON_THE_WAY

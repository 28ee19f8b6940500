"""Read an SPF record.

Owns the grammar: mechanisms in their order, `redirect`; other modifiers mean nothing to us.

Source: RFC 7208 §4.5 (selection), §5 (mechanisms), §6 (modifiers), §7.1 (macros), §12 (grammar).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network

from relayd.mail.dns import DomainError, Texts, a_labels

_VERSION = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_MECHANISM = re.compile(r"([+?~-]?)([a-z][a-z0-9_.-]*)(?::([^/]*))?((?:/.*)?)", re.IGNORECASE)
_ADDRESS = re.compile(
    r"([+?~-]?)(ip[46]):([^/]+(?:/(?:0|[1-9][0-9]{0,2}))?)", re.IGNORECASE | re.ASCII
)
_PREFIXES = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?", re.ASCII)


class Result(StrEnum):
    """RFC 7208 §2.6, and UNKNOWN: the record has what we do not evaluate."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 -- no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"
    UNKNOWN = "unknown"


QUALIFIERS = {
    "": Result.PASS,
    "+": Result.PASS,
    "-": Result.FAIL,
    "~": Result.SOFTFAIL,
    "?": Result.NEUTRAL,
}


class SpfError(ValueError):
    """The record is broken (permerror); the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One mechanism."""

    text: str  # as written
    name: str  # all, include, a, mx, ptr, ip4, ip6, exists
    result: Result  # if it matches
    domain: str = ""  # empty: the domain whose record this is
    network: IPv4Network | IPv6Network | None = None  # of ip4 and ip6
    prefixes: tuple[int, int] = (32, 128)  # of a and mx, by family

    @property
    def has_macro(self) -> bool:
        return "%" in self.domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    text: str
    terms: tuple[Term, ...]
    redirect: str  # empty: none


def select(answer: Texts) -> str | None:
    """Return the SPF record among the texts; None without one. Raises SpfError."""
    records = [text for text in answer.texts if _VERSION.match(text)]
    if len(records) > 1:
        raise SpfError(f"there are {len(records)} SPF records, one is allowed")
    return records[0] if records else None


def parse(text: str) -> Record:
    """Read a record. Raises SpfError."""
    terms: list[Term] = []
    modifiers: dict[str, str] = {}
    for word in filter(None, text.split(" ")[1:]):
        modifier = _MODIFIER.fullmatch(word)
        if modifier is None:
            terms.append(_term(word))
        elif (name := modifier[1].lower()) in {"redirect", "exp"}:
            if name in modifiers:
                raise SpfError(f"{name} is there twice")
            modifiers[name] = _domain(modifier[2], word, needed=True)
    return Record(text=text, terms=tuple(terms), redirect=modifiers.get("redirect", ""))


def _term(word: str) -> Term:
    if (address := _ADDRESS.fullmatch(word)) is not None:
        return _address_term(word, address)
    found = _MECHANISM.fullmatch(word)
    name = found[2].lower() if found else ""
    if name in {"ip4", "ip6"}:
        raise SpfError(f'"{word}" has no valid address')
    if found is None or name not in {"all", "include", "a", "mx", "ptr", "exists"}:
        raise SpfError(f'"{word}" is no mechanism')
    with_prefix, with_domain = name in {"a", "mx"}, name != "all"
    if (found[4] and not with_prefix) or (found[3] is not None and not with_domain):
        raise SpfError(f'"{word}" has what does not belong to {name}')
    return Term(
        text=word,
        name=name,
        result=QUALIFIERS[found[1]],
        domain=_domain(
            found[3] or "", word, needed=found[3] is not None or name in {"include", "exists"}
        ),
        prefixes=_prefixes(found[4], word),
    )


def _address_term(word: str, found: re.Match[str]) -> Term:
    name = found[2].lower()
    try:
        network = ip_network(found[3], strict=False)
    except ValueError:
        raise SpfError(f'"{word}" has no valid address') from None
    if network.version != int(name[2]):
        raise SpfError(f'"{word}" has an address of the other family')
    return Term(text=word, name=name, result=QUALIFIERS[found[1]], network=network)


def _domain(domain: str, word: str, *, needed: bool) -> str:
    """Check a domain; one with macros is left as it is."""
    if "%" in domain or not (domain or needed):
        return domain
    try:
        name = a_labels(domain)
    except DomainError:
        name = ""
    if "." not in name:
        raise SpfError(f'"{word}" has no valid domain')
    return name


def _prefixes(text: str, word: str) -> tuple[int, int]:
    found = _PREFIXES.fullmatch(text)
    if found is None or int(found[1] or 32) > 32 or int(found[2] or 128) > 128:
        raise SpfError(f'"{word}" has no valid prefix length')
    return int(found[1] or 32), int(found[2] or 128)

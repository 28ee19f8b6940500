"""What the DNS says about where mail goes and who sends it: the answers as values, and domain names as it knows them.

Owns the words between the resolver, which asks, and policy (`mx`, `doctor`), which judges. An answer is
definite unless it is a `DnsFailure` or comes with one: a failed lookup proves nothing (A-64).

An answer is `authenticated` if the name server says that DNSSEC proves all of it, each CNAME on the
way too (the AD bit), and if that name server is trusted: it is on this machine, or in `dns.trusted`.

Sources: RFC 4035 §3.2.3 (AD); RFC 5321 §2.3.5, §5.1; RFC 7505 (null MX); RFC 5890 (A-labels); RFC 1035 §2.3.4 (sizes).
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import idna

from relayd.mail.words import Fault

IpAddress = IPv4Address | IPv6Address

_NAME_LIMIT = 253  # characters, without the root
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class MxHost:
    preference: int  # the lowest is the best
    name: str  # lower case, without the root; need not be a name that can exist


@dataclass(frozen=True, slots=True, kw_only=True)
class MxHosts:
    """The domain has MX records. The root is left out, so `hosts` may be empty (RFC 7505 §3)."""

    hosts: tuple[MxHost, ...]
    authenticated: bool = False
    alias_of: str = ""  # the name that has these records; empty: the domain itself


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplicitMx:
    """The domain exists without MX records: it is its own mail host (RFC 5321 §5.1), if proven."""

    domain: str
    proven: bool = True  # an empty answer without a SOA record may come from anywhere
    authenticated: bool = False  # that it has no MX records


@dataclass(frozen=True, slots=True, kw_only=True)
class NullMx:
    """The domain says that it takes no mail (RFC 7505)."""

    authenticated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchDomain:
    """NXDOMAIN, or not a domain name at all."""

    reason: str
    proven: bool = True  # an answer without a SOA record may come from anywhere
    authenticated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsFailure:
    """No answer that means anything. Says nothing about the domain."""

    reason: str  # one cleaned line: "10.0.0.1 answers SERVFAIL to MX a.test"
    fault: Fault = Fault.DNS
    is_empty: bool = False  # no records, and no SOA record to prove it (RFC 2308 §2.2)


MxAnswer = MxHosts | ImplicitMx | NullMx | NoSuchDomain | DnsFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """What A and AAAA gave, both families by turns. Without failures, there are no others."""

    ips: tuple[IpAddress, ...] = ()
    failures: tuple[DnsFailure, ...] = ()  # lookups that may have given more
    authenticated: bool = False  # all that was found; a lookup that failed is no word against it
    alias_of: str = ""  # the name that has these addresses; empty: the host itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """TXT records, each with its strings put together (RFC 7208 §3.3); none is an answer too."""

    texts: tuple[str, ...] = ()
    exists: bool = True  # the name has other records, or names below it
    authenticated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """PTR records: lower case, without the root's dot. Need not be names that can exist."""

    names: tuple[str, ...] = ()
    authenticated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsaRecords:
    """TLSA records as they came: usage, selector, matching type, data. None is an answer too."""

    records: tuple[tuple[int, int, int, bytes], ...] = ()
    authenticated: bool = False  # also that there are none


TextAnswer = Texts | DnsFailure
TlsaAnswer = TlsaRecords | DnsFailure
NameAnswer = Names | DnsFailure


class DomainError(ValueError):
    """Not a domain name; the text says why and quotes nothing."""


def a_labels(domain: str) -> str:
    """Return `domain` in lower case, as A-labels, without the root's dot. Raises DomainError.

    U-labels go by IDNA 2008 in its UTS 46 mapping, so `faß.de` stays itself (HN-03). Refused is
    what no mail domain can be: an address literal, an IP address without brackets (a top-level
    domain is never a number, RFC 3696 §2), and labels beyond letters, digits, hyphen, underscore.
    """
    if domain.startswith("["):
        raise DomainError("an address literal, not a domain name")
    name = domain if domain.isascii() else _encoded(domain)
    name = name.lower().removesuffix(".")
    if len(name) > _NAME_LIMIT:
        raise DomainError("a domain name of more than 253 characters")
    if _NAME.fullmatch(name) is None:
        raise DomainError("not a domain name")
    if name.rpartition(".")[2].isdigit():
        raise DomainError("a number, not a domain name")
    return name


def u_labels(domain: str) -> str:
    """Return a domain of A-labels as people write it; what is none comes back as it is."""
    try:
        return idna.decode(domain)
    except UnicodeError:
        return domain


def _encoded(domain: str) -> str:
    if len(domain) > _NAME_LIMIT:  # a label in ASCII is never shorter
        raise DomainError("a domain name of more than 253 characters")
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:  # idna's own errors are of this kind
        raise DomainError("not an internationalised domain name") from None

"""Addresses and the paths of MAIL and RCPT.

Owns one parser on bytes: what it returns is what was given, to the octet (quoting and case
kept). A source route is read and left out, as RFC 5321 §4.1.1.3 advises; the mailbox after it is
the address. Everything that is not a path by the grammar is refused, in linear time.

The 64 octets of a local part and the 256 of a path are what every server has to take, and no
limits: return paths that name a recipient or a forwarder are longer (S-41). The sizes of a domain
and its labels are the DNS's, and real.

Source: RFC 5321 §4.1.2 (grammar), §4.5.3.1 (sizes); RFC 1035 §2.3.4; RFC 6531 §3.3 (UTF-8).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

PATH_LIMIT = 512  # octets with the angle brackets: twice what RFC 5321 §4.5.3.1.3 asks for
DOMAIN_LIMIT = 255  # octets, §4.5.3.1.2
LABEL_LIMIT = 63  # characters; what is not ASCII may have more octets, and is an A-label in the DNS

# UTF-8 beyond ASCII without its C1 controls and separators is checked after decoding.
_ATEXT = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]"
_LABEL = rb"[A-Za-z0-9_\x80-\xff]++(?>(?:-++[A-Za-z0-9_\x80-\xff]++)*)"
_DOMAIN = rb"%(label)s(?:\.%(label)s)*" % {b"label": _LABEL}
_LITERAL = rb"\[(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[Ii][Pp][Vv]6:[0-9A-Fa-f:.]{2,45})\]"
_DOT_STRING = rb"%(atext)s+(?:\.%(atext)s+)*" % {b"atext": _ATEXT}
_QUOTED = rb'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\x20-\x7e])*"'
_ROUTE = rb"@%(domain)s(?:,@%(domain)s)*:" % {b"domain": _DOMAIN}

# RFC 5321 §4.1.2:  Path = "<" [ A-d-l ":" ] Mailbox ">"
_PATH = re.compile(
    rb"<(?:%s)?(?P<local>%s|%s)@(?P<domain>%s|%s)>"
    % (_ROUTE, _DOT_STRING, _QUOTED, _DOMAIN, _LITERAL)
)
_UNSAFE = re.compile("[\x80-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: the local part exactly as given, and the domain as given."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def compared(self) -> "Address":
        """The address to compare with others, as `compared_domain` (RFC 5321 §2.4)."""
        domain = compared_domain(self.domain)
        return self if domain == self.domain else Address(self.local, domain)

    @property
    def is_literal(self) -> bool:
        return self.domain.startswith("[")

    @property
    def needs_smtputf8(self) -> bool:
        """The local part cannot be sent without SMTPUTF8 (a domain could go as A-labels)."""
        return not self.local.isascii()

    @property
    def is_ascii(self) -> bool:
        return self.local.isascii() and self.domain.isascii()


def compared_domain(domain: str) -> str:
    """Return a domain to compare with others: case does not count, nor whether it has U-labels or A-labels."""
    return domain.lower() if domain.isascii() else _as_a_labels(domain)


@lru_cache(maxsize=1024)  # it takes long, and many recipients share few domains
def _as_a_labels(domain: str) -> str:
    from relayd.mail.mailbox import domain_of  # noqa: PLC0415 -- brings IDNA; most mail needs none

    return domain_of(domain)


class PathError(ValueError):
    """Not a path; the text says why, in words that are safe to send back."""


def parse_path(argument: bytes) -> tuple[Address | None, bytes]:
    """Read the path at the start of `argument`; return it and the parameters after it.

    The null path `<>` is None. The parameters come without the blank that sets them off.
    Raises PathError.
    """
    if argument.startswith(b"<>"):
        return None, _parameters(argument, 2)
    found = _PATH.match(argument)
    if found is None:
        raise PathError("not a path in angle brackets")
    rest = _parameters(argument, found.end())
    local, domain = found["local"], found["domain"]
    if found.end() > PATH_LIMIT:
        raise PathError(f"path longer than {PATH_LIMIT} octets")
    if len(domain) > DOMAIN_LIMIT:
        raise PathError(f"domain longer than {DOMAIN_LIMIT} octets")
    if domain[:1] == b"[" and not _is_ip(domain[1:-1]):
        raise PathError("not an address literal")
    try:
        argument[: found.end()].decode()  # the route that is left out, too
        address = Address(local.decode(), domain.decode())
    except UnicodeDecodeError:
        raise PathError("not valid UTF-8") from None
    if len(domain) > LABEL_LIMIT and _has_long_label(address.domain):
        raise PathError(f"part of the domain longer than {LABEL_LIMIT} characters")
    if not address.is_ascii and _UNSAFE.search(f"{address}"):
        raise PathError("control character in the address")
    return address, rest


def _has_long_label(domain: str) -> bool:
    return any(len(label) > LABEL_LIMIT for label in domain.split("."))


def parse_address(text: str) -> Address:
    """Read `local@domain` as people and settings write it. Raises PathError."""
    path = b"<" + text.encode("utf-8", "surrogatepass") + b">"
    if _PATH.match(path) is None:  # parse_path would speak of angle brackets that nobody wrote
        raise PathError("expected local@domain")
    address, rest = parse_path(path)
    if address is None or rest:
        raise PathError("not an address")
    return address


def _is_ip(literal: bytes) -> bool:
    try:
        if literal[:5].upper() == b"IPV6:":
            IPv6Address(literal[5:].decode())
        else:
            IPv4Address(literal.decode())
    except ValueError:
        return False
    return True


def _parameters(argument: bytes, end: int) -> bytes:
    if len(argument) == end:
        return b""
    if argument[end : end + 1] != b" ":
        raise PathError("something after the path without a blank")
    return argument[end + 1 :]

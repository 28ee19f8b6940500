"""Which box an address leads to, however it is spelled.

For comparing and counting only; mail goes to the address as it was given. Two spellings of one box
may still differ here, where only its own server knows better; two boxes are never taken for one,
but for what is after a `+`, and for case.

Source: RFC 5321 §2.4 (case; local parts are compared without), §4.1.2 (quoting); RFC 5233 (`+detail`);
RFC 6531 §3.2, RFC 6532 §3.1 (normal form), RFC 5890 (A-labels).
"""

import re
import unicodedata

from relayd.mail.dns import DomainError, a_labels, u_labels

_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


def box_of(address: str) -> str:
    """Return the box as `local@domain`: no tag, no quotes, one case, A-labels.

    An address without an `@` is a local part alone, and comes without one.
    """
    local, at, domain = address.rpartition("@")
    if not at:
        return _plain(domain)
    return f"{_plain(local)}@{domain_of(address)}"


def writings_of(address: str) -> frozenset[str]:
    """Return the box as `as_written` gives it for its A-labels and for its U-labels."""
    box = box_of(address)
    local, at, domain = box.rpartition("@")
    return frozenset({box, f"{local}{at}{u_labels(domain)}"})


def as_written(address: str) -> str:
    """Return the box with its domain in the letters that it came in.

    For what strangers wrote, at length: U-labels take a thousand times as long to encode.
    """
    local, at, domain = address.rpartition("@")
    if not at:
        return _plain(domain)
    domain = unicodedata.normalize("NFC", domain).lower().removesuffix(".")
    return f"{_plain(local)}@{domain}"


def domain_of(address: str) -> str:
    """Return the domain of an address in lower case, as A-labels where it is one."""
    domain = address.rpartition("@")[2]
    try:
        return a_labels(domain)
    except DomainError:
        return domain.lower()


def _plain(local: str) -> str:
    if len(local) > 1 and local[0] == local[-1] == '"':
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    local = unicodedata.normalize("NFC", local).casefold()
    return local.partition("+")[0] or local

"""What old programs write instead of a path, and what they mean by it.

Owns the corrections that a listener may be set to make. The strict parser reads what comes of them, so nothing
that is no address gets in by this way; and what is right already is never changed.

Source: RFC 5321 §4.1.2 (a dot-string has no empty part, a quoted string may), §2.3.5 (no dot at the end of a domain).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Leniency(StrEnum):
    """What a listener takes besides what the standards say."""

    BRACKETS = "brackets"  # a path without its angle brackets
    TRAILING_DOT = "trailing_dot"  # behind a domain
    DOTTED_LOCAL_PART = "dotted_local_part"  # a dot at either end, or two in a row
    NO_DOMAIN = "no_domain"  # ours is meant
    BARE_LF = "bare_lf"  # in the place of each CR LF of a session


@dataclass(frozen=True, slots=True)
class Meant:
    """An argument as it should have been written, and what had to be corrected."""

    argument: bytes
    needed: tuple[Leniency, ...]


_QUOTED = rb'"(?>(?:[^"\\]++|\\.)*)"'
_WITHOUT_BRACKETS = re.compile(rb'(?P<path>(?:%b)?[^ "<>]*+)(?P<rest>(?: ++(?!<).*)?)' % _QUOTED)
_PATH = re.compile(
    rb'<(?P<local>%b|[^ "<>@,:;()\[\]\\]++)(?:@(?P<domain>[^ "<>@,:;]++))?>(?P<rest>.*)' % _QUOTED
)
_DOTTED = re.compile(rb'\.|[^"].*(?:\.\.|\.\Z)')


def meant_by(argument: bytes, kinds: Collection[Leniency], *, fqdn: str) -> Meant | None:
    """Return what is meant by the argument of MAIL or RCPT; None: nothing that these kinds would correct."""
    keyword, _, path = argument.partition(b":")
    path = path.strip(b" ")
    needed: list[Leniency] = []
    if not path.startswith(b"<"):
        bare = _WITHOUT_BRACKETS.fullmatch(path)
        if bare is None:
            return None
        needed.append(Leniency.BRACKETS)
        path = b"<" + bare["path"] + b">" + bare["rest"]
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    local, domain, rest = found["local"], found["domain"], found["rest"]
    if domain is None:
        needed.append(Leniency.NO_DOMAIN)
        domain = fqdn.encode()
    elif domain.endswith(b"."):
        needed.append(Leniency.TRAILING_DOT)
        domain = domain[:-1]
    if _DOTTED.match(local):
        needed.append(Leniency.DOTTED_LOCAL_PART)
        local = b'"' + local + b'"'
    if not needed or not set(needed) <= set(kinds):
        return None
    return Meant(b"%b:<%b@%b>%b" % (keyword, local, domain, rest), tuple(needed))

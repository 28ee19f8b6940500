"""What TLS reports count: sessions by policy and by what became of them.

Source: RFC 8460 §4.2 (policies), §4.3 (result types).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class PolicyKind(StrEnum):
    """RFC 8460 §4.2."""

    STS = "sts"
    TLSA = "tlsa"
    NONE = "no-policy-found"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedPolicy:
    """The policy that counted for a session."""

    kind: PolicyKind
    domain: str  # of the recipient; with TLSA the name of the host whose records counted
    lines: tuple[str, ...] = ()  # of the policy, or a record each
    hosts: tuple[str, ...] = ()  # that a policy of MTA-STS lists

    @property
    def text(self) -> str:
        """Return what `read_counted` reads."""
        return json.dumps([self.kind, self.domain, self.lines, self.hosts])


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedSession:
    """What sessions have in common that are counted together."""

    day: date  # UTC
    policy: CountedPolicy
    result: str = (
        ""  # what failed, in the words of reports; empty: nothing. The rest is of a failure
    )
    host: str = ""
    source_ip: str = ""
    ip: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedDomain:
    """A day of one domain, and whether something failed there."""

    day: date
    domain: str
    failed: bool


def read_counted(text: str) -> CountedPolicy:
    """Return the policy that `CountedPolicy.text` gave."""
    kind, domain, lines, hosts = json.loads(text)
    return CountedPolicy(
        kind=PolicyKind(kind), domain=domain, lines=tuple(lines), hosts=tuple(hosts)
    )


def digest_of(parts: Sequence[str]) -> bytes:
    """Return a short key for texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()[:16]

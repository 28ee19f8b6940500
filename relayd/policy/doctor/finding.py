"""What a check of `relayd doctor` says. Names and levels are an interface: `docs/doctor.md`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # works, but costs mail somewhere, or soon
    FAIL = "fail"  # mail is refused or lost sight of
    UNKNOWN = "unknown"  # the question got no answer
    SKIPPED = "skipped"  # the question was not asked


class Check(StrEnum):
    """What is checked."""

    DAEMON = "daemon"
    FQDN = "fqdn"
    DIRECT = "direct-mode"
    SOURCE = "source-address"
    FORWARD = "forward-dns"
    HELO = "helo"
    REVERSE = "reverse-dns"
    DNSSEC = "dnssec"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    BLOCKLIST = "blocklist"
    PORT = "port-25"
    CERTIFICATE = "certificate"
    SMARTHOST = "smarthost"
    STORE = "store"
    QUEUE = "queue"
    DISK = "disk"
    CLOCK = "clock"
    FILES = "files"
    SOFT_BOUNCE = "soft-bounce"
    COMPLAINTS = "complaints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    check: Check
    subject: str  # what was looked at: an address, a domain, a path; may be of remote origin
    level: Level
    reason: str  # one line
    remedy: str = ""  # one sentence; empty where nothing is to be done


def tally(findings: Iterable[Finding]) -> dict[Level, int]:
    """Return how many findings there are of every level."""
    counted = Counter(finding.level for finding in findings)
    return {level: counted[level] for level in Level}


def has_failed(findings: Iterable[Finding]) -> bool:
    return any(finding.level is Level.FAIL for finding in findings)

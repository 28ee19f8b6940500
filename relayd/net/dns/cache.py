"""Keep what the DNS said for as long as it may be kept.

Owns the bounds on TTLs and on memory. Failures are kept for a moment too, so that a sick name
server is not asked again for every message of a queue.

Sources: RFC 1035 §3.2.1, RFC 2308 §5, §7. A floor under the TTL departs from RFC 1035: a burst of mail
to a domain with TTL 0 shares an answer.
"""

from collections import OrderedDict
from typing import assert_never

from relayd.mail.dns import DnsFailure
from relayd.net.dns.lookup import Finding, Nothing, Records
from relayd.ports.outward import Clock

SHORTEST, LONGEST, LONGEST_NOTHING, FAILURE = 5.0, 3600.0, 300.0, 5.0  # seconds
_SIZE = 5000

Question = tuple[str, str]  # name and type


class DnsCache:
    """The most recently used findings, by question."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[Question, tuple[float, Finding]] = OrderedDict()

    def get(self, question: Question) -> Finding | None:
        """Return what is known and not too old."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        until, finding = kept
        if self._clock.monotonic() >= until:
            del self._kept[question]
            return None
        self._kept.move_to_end(question)
        return finding

    def put(self, question: Question, finding: Finding) -> None:
        self._kept[question] = (self._clock.monotonic() + keep_for(finding), finding)
        self._kept.move_to_end(question)
        if len(self._kept) > _SIZE:
            self._kept.popitem(last=False)


def keep_for(finding: Finding) -> float:
    """Return for how many seconds a finding may be used."""
    match finding:
        case Records(ttl=ttl):
            return min(max(ttl, SHORTEST), LONGEST)
        case Nothing(proven=True, ttl=ttl):
            return min(max(ttl, SHORTEST), LONGEST_NOTHING)
        case Nothing() | DnsFailure():
            return FAILURE
        case _:
            assert_never(finding)

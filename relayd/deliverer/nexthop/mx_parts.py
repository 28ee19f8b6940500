"""What all MX hops of a worker share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from relayd.deliverer.nexthop.hosts import Address, LeftAlone, NotYet
from relayd.deliverer.nexthop.site_pace import SitePaces
from relayd.deliverer.nexthop.sites import Sites
from relayd.deliverer.nexthop.warm_ups import WarmUps
from relayd.deliverer.tally import TlsTally
from relayd.deliverer.trust import Trust
from relayd.mail.dns import IpAddress
from relayd.policy.delivery.mx import Candidate, MxRules
from relayd.ports.outward import Clock, Resolver, Transport
from relayd.settings import DirectSettings

STORE_AGAIN = 5.0
"""Seconds until a store that cannot be read is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MxParts:
    """Settings, and whom to ask for what."""

    settings: DirectSettings
    rules: MxRules
    resolver: Resolver
    trust: Trust
    transport: Transport
    sites: Sites
    clock: Clock
    chance: Callable[[], float]
    is_own: Callable[[IpAddress], bool]  # a connection there would come back to us
    may_send_from: Callable[[IpAddress], bool]  # a connection may come from there
    warm_ups: WarmUps
    paces: SitePaces | None = None  # None: what sites say of us changes nothing
    tally: TlsTally | None = None  # None: no TLS reports

    def address_of(self, candidate: Candidate) -> Address:
        return (candidate.ip, self.settings.port)

    def not_yet(self, wait: float, why: str, *, left_alone: LeftAlone | None = None) -> NotYet:
        """Return that nothing goes for so many seconds."""
        return NotYet(self.clock.now() + timedelta(seconds=wait), why, left_alone=left_alone)

"""From a route key to the next hop: the one place that knows the kinds of destinations."""

from dataclasses import replace

from relayd.deliverer.hosts import NextHop
from relayd.deliverer.mxhop import MxHop, MxParts
from relayd.deliverer.smarthost import Smarthost
from relayd.policy.route import HOLD, SMARTHOST, host_of, mx_domain_of
from relayd.ports.outward import Clock, Transport
from relayd.settings import SmarthostSettings, TlsMode


class Directions:
    """Gives a lane its next hop, with the limits that are a worker's share."""

    def __init__(
        self,
        smarthost: SmarthostSettings,
        *,
        transport: Transport,
        clock: Clock,
        mx: MxParts,
        workers: int,
    ) -> None:
        self._settings = smarthost
        self._transport = transport
        self._clock = clock
        self._mx = mx
        self._smarthost = self._hosts(smarthost, -(-smarthost.connections // workers))

    def next_hop(self, destination: str) -> NextHop:
        """Return where the mail of `destination` goes; what is held never gets as far as to ask."""
        if destination in (SMARTHOST, HOLD):
            return self._smarthost
        domain = mx_domain_of(destination)
        if domain is not None:
            return MxHop(domain, self._mx)
        # One worker at a time has such a destination, so all its connections.
        connections = self._mx.settings.connections_per_destination
        return self._hosts(host_settings(self._settings, destination), connections)

    def _hosts(self, settings: SmarthostSettings, connections: int) -> Smarthost:
        return Smarthost(
            settings,
            connections=connections,
            transport=self._transport,
            clock=self._clock,
            outages=self._mx.sites.outages,
        )


def host_settings(smarthost: SmarthostSettings, destination: str) -> SmarthostSettings:
    """Return how the hosts of a destination are used that is no domain of its own.

    A host that `[routes]` names gets none of the smarthost's secrets.
    """
    if destination == SMARTHOST:
        return smarthost
    return replace(smarthost, hosts=(host_of(destination),), tls=TlsMode.OPPORTUNISTIC, login=None)

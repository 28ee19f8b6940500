"""From a route key to the next hop: the one place that knows the kinds of destinations."""

from dataclasses import replace

from relayd.deliverer.hosts import NextHop, Smarthost
from relayd.deliverer.mxhop import MxHop, MxParts
from relayd.policy.route import HOLD, SMARTHOST, host_of, mx_domain_of
from relayd.ports import Clock, Transport
from relayd.settings import SmarthostSettings, TlsMode


class Directions:
    """Gives a lane its next hop, and the number of connections it may use."""

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
        self._workers = workers
        self._smarthost = Smarthost(smarthost, transport=transport, clock=clock)

    def next_hop(self, destination: str) -> NextHop:
        """Return where the mail of `destination` goes; what is held never gets as far as to ask."""
        if destination in (SMARTHOST, HOLD):
            return self._smarthost
        domain = mx_domain_of(destination)
        if domain is not None:
            return MxHop(domain, self._mx)
        settings = host_settings(self._settings, destination)
        return Smarthost(settings, transport=self._transport, clock=self._clock)

    def connections(self, destination: str) -> int:
        """Return how many connections one worker may use at once."""
        if destination == SMARTHOST:
            return -(-self._settings.connections // self._workers)
        return self._mx.settings.connections_per_destination


def host_settings(smarthost: SmarthostSettings, destination: str) -> SmarthostSettings:
    """Return how the hosts of a destination are used that is no domain of its own.

    A host that `[routes]` names gets none of the smarthost's secrets.
    """
    if destination == SMARTHOST:
        return smarthost
    return replace(smarthost, hosts=(host_of(destination),), tls=TlsMode.OPPORTUNISTIC, login=None)

"""From a route key to the next hop: the one place that knows the kinds of destinations."""

from collections.abc import Mapping, Sequence

from relayd.deliverer.nexthop.account import Account
from relayd.deliverer.nexthop.hosts import NextHop
from relayd.deliverer.nexthop.mx import MxHop
from relayd.deliverer.nexthop.mx_parts import MxParts
from relayd.deliverer.nexthop.smarthost import Smarthost
from relayd.policy.delivery.route import (
    DEFAULT,
    HOLD,
    ViaSmarthost,
    asked_of,
    host_of,
    key_of,
    mx_domain_of,
    smarthost_of,
)
from relayd.policy.delivery.shares import Part, share_of
from relayd.ports.outward import Clock, Transport
from relayd.ports.permits import Permits
from relayd.settings import SmarthostSettings
from relayd.settings.smarthosts import settings_of


class Router:
    """Gives a destination queue its next hop, with the limits that are a worker's share."""

    def __init__(
        self,
        smarthosts: Mapping[str, SmarthostSettings],
        route_hosts: Sequence[SmarthostSettings] = (),
        *,
        transport: Transport,
        clock: Clock,
        mx: MxParts,
        permits: Permits,
    ) -> None:
        self._route_hosts = route_hosts
        self._transport = transport
        self._clock = clock
        self._mx = mx
        self._permits = permits
        self._settings = smarthosts
        self._smarthosts = {
            name: self._hosts(key_of(ViaSmarthost(name)), each, each.connections)
            for name, each in smarthosts.items()
        }

    def divide_by(self, part: Part) -> None:
        """Use no more than a part of each smarthost's connections.

        Where there are more workers than connections, those that have a slot in the store have one each.
        """
        for name, smarthost in self._smarthosts.items():
            smarthost.limit(max(1, share_of(self._settings[name].connections, part)))

    def next_hop(self, destination: str) -> NextHop:
        """Return where the mail of `destination` goes.

        What is held never gets as far as to ask, nor what was for a smarthost that is gone.
        """
        name = DEFAULT if destination == HOLD else smarthost_of(destination)
        if name is not None:
            return self._smarthosts.get(name, self._smarthosts[DEFAULT])
        domain = mx_domain_of(destination)
        if domain is not None:
            return MxHop(domain, self._mx, asked_of(destination))
        # One worker at a time has such a destination, so all its connections.
        connections = self._mx.settings.connections_per_destination
        settings = settings_of(host_of(destination), self._route_hosts)
        return self._hosts(destination, settings, connections)

    def _hosts(self, key: str, settings: SmarthostSettings, connections: int) -> Smarthost:
        return Smarthost(
            settings,
            connections=connections,
            transport=self._transport,
            clock=self._clock,
            dead_hosts=self._mx.sites.dead_hosts,
            slots=self._mx.sites.connections,
            account=Account(key, settings.limits, permits=self._permits, clock=self._clock),
        )

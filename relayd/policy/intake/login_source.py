"""Where a login comes from: the host, and the networks around it that fail together.

An IPv6 client has a /64 for itself, often a /56 or /48, and a provider has a /32; IPv4 networks are
its /24 and /16.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address

from relayd.policy.intake.admit import address_of, network_of
from relayd.policy.intake.origin import Origin


class Level(IntEnum):
    """How much of the address counts: the finest first."""

    HOST = 0  # IPv4 address, IPv6 /64
    BLOCK = 1  # IPv6 /56
    SITE = 2  # IPv4 /24, IPv6 /48
    REGION = 3  # IPv4 /16, IPv6 /32


_OF_IPV4 = {Level.HOST: 32, Level.SITE: 24, Level.REGION: 16}
_OF_IPV6 = {Level.HOST: 64, Level.BLOCK: 56, Level.SITE: 48, Level.REGION: 32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    host: str
    networks: Mapping[Level, str]  # the finest first; none on this machine

    @property
    def is_here(self) -> bool:
        """It is this machine, which is no network: one local program must not stop the others."""
        return not self.networks

    @property
    def site(self) -> str:
        """The network that has one share of what all have to share."""
        return self.networks.get(Level.SITE, self.host)


def source_of(origin: Origin) -> Source:
    """Return where a client logs in from. All whom one proxy does not know are one network."""
    client = origin.client(is_stranger=True)
    if origin.is_here:  # who is here has all of 127.0.0.0/8 to choose from
        return Source(host="loopback" if origin.ip else client, networks={})
    if not origin.is_known:
        return Source(host=client, networks=dict.fromkeys((Level.SITE, Level.REGION), client))
    address = address_of(origin.ip)
    prefixes = _OF_IPV4 if isinstance(address, IPv4Address) else _OF_IPV6
    networks = {level: network_of(address, prefix) for level, prefix in prefixes.items()}
    return Source(host=client, networks=networks)

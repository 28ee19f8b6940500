"""Ask the name servers of a zone themselves, past every cache: whether all of them have a new record.

Owns the way to them: CNAMEs first (a record may be somebody else's to keep), then the nearest name above with NS
records, then all addresses of those servers. For commands; no delivery waits for it.

Sources: RFC 1034 §3.6.2, §4.2 (zones); RFC 2308 §2.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from relayd.mail.dns import DnsFailure, DomainError, TextAnswer, a_labels
from relayd.net.dns.lookup import DnsLookup, Records
from relayd.net.dns.resolver import DnsResolver
from relayd.ports.outward import Clock
from relayd.settings import DnsSettings, HostPort

_PORT = 53
_CHAIN_LIMIT = 8  # CNAMEs


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnswer:
    """What one name server says."""

    server: str  # its name
    answer: TextAnswer  # of the first of its addresses that gives one, else the failure of the last


async def ask_servers(
    name: str, settings: DnsSettings, clock: Clock
) -> Sequence[ServerAnswer] | DnsFailure:
    """Return what each name server of the zone has at `name` as TXT; a failure if they cannot be found."""
    zones = DnsLookup(settings.nameservers, settings.timeout, clock=clock)
    resolver = DnsResolver(nameservers=settings.nameservers, timeout=settings.timeout, clock=clock)
    for _ in range(_CHAIN_LIMIT):
        alias = await zones.ask(name, "CNAME")
        if isinstance(alias, DnsFailure):
            return alias
        if not isinstance(alias, Records):
            break
        try:
            name = a_labels(alias.values[0])
        except DomainError:
            return DnsFailure(reason=f"what {name} is an alias of is no domain name")
    servers = await _servers_of(name, zones)
    if isinstance(servers, DnsFailure):
        return servers
    asked = (_ask(server, name, resolver, settings, clock) for server in servers)
    return await asyncio.gather(*asked)


async def _servers_of(name: str, zones: DnsLookup) -> Sequence[str] | DnsFailure:
    above = name
    while "." in above:
        found = await zones.ask(above, "NS")
        if isinstance(found, DnsFailure):
            return found
        if isinstance(found, Records):
            return sorted(found.values)
        above = above.partition(".")[2]
    return DnsFailure(reason=f"no zone of {name} has name servers")


async def _ask(
    server: str, name: str, resolver: DnsResolver, settings: DnsSettings, clock: Clock
) -> ServerAnswer:
    found = await resolver.addresses(server)
    answer: TextAnswer = DnsFailure(reason=f"the name server {server} has no address")
    for ip in found.ips:
        place = HostPort(host=str(ip), port=_PORT)
        alone = DnsResolver(nameservers=[place], timeout=settings.timeout, clock=clock)
        answer = await alone.texts(name)
        if not isinstance(answer, DnsFailure):
            break
    return ServerAnswer(server=server, answer=answer)

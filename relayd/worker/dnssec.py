"""Whether name servers that are believed with DNSSEC deserve it: each is asked once, when a worker starts.

A forwarder on this machine may set the AD bit and check nothing. It gives itself away by vouching for names whose
signatures are wrong on purpose. Nothing waits for this: until the answer is there the name server is believed, so a host
has to show more and never less, and mail that is refused for a wrong record is tried again without it. No answer proves nothing.
"""

import asyncio
from datetime import timedelta

import structlog

from relayd.net.dns.one_server import ask_server
from relayd.net.dns.resolver import DnsResolver
from relayd.policy.doctor.dnssec import BOGUS, dane_is_wanted, vouches_for_all
from relayd.ports.outward import Clock
from relayd.settings import HostPort, Settings

log = structlog.get_logger(__name__)


async def distrust_liars(settings: Settings, resolver: DnsResolver, clock: Clock) -> None:
    """Leave a name server's AD bit out of account from now on, if it means nothing; take `dns.timeout` at most."""
    direct = settings.direct
    entries = [entry for _, entry in direct.tls_policy]
    if settings.routes.may_be_direct and dane_is_wanted(
        dane=direct.dane, tls=direct.tls, entries=entries
    ):
        asked = (_look_at(each, settings.dns.timeout, resolver, clock) for each in resolver.trusted)
        await asyncio.gather(*asked)


async def _look_at(
    server: HostPort, within: timedelta, resolver: DnsResolver, clock: Clock
) -> None:
    said = await asyncio.gather(
        *(ask_server(server, name, "A", within=within, clock=clock) for name in BOGUS)
    )
    if not vouches_for_all(said):
        return
    resolver.distrust(server)
    log.warning(
        "dane_off",
        fault="local",
        reason=f"DANE is off whenever {server.host} answers: its AD bit means nothing, for it vouches for"
        f" {' and '.join(BOGUS)}, whose signatures are wrong; run a name server that checks DNSSEC",
    )

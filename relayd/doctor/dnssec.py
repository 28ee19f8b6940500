"""Whether the name servers check DNSSEC. Each is asked alone: any of them may be the one that answers a delivery."""

import asyncio
from collections.abc import Sequence

from relayd.doctor.context import CheckContext
from relayd.net.dns.lookup import trusts
from relayd.net.dns.one_server import ask_server
from relayd.net.dns.system import system_nameservers
from relayd.policy.doctor import dnssec
from relayd.policy.doctor.finding import Finding
from relayd.settings import HostPort


async def check_dnssec(context: CheckContext) -> Sequence[Finding]:
    """Look at each name server, where DANE may ask it."""
    direct, dns = context.settings.direct, context.settings.dns
    entries = [entry for _, entry in direct.tls_policy]
    if not dnssec.dane_is_wanted(dane=direct.dane, tls=direct.tls, entries=entries):
        return [dnssec.judge_not_wanted()]
    asked = dns.nameservers or system_nameservers()
    return [
        await _trusted(context, each)
        if trusts(each.host, dns.trusted)
        else dnssec.judge_untrusted(each.host)
        for each in asked
    ]


async def _trusted(context: CheckContext, server: HostPort) -> Finding:
    questions = (dnssec.ROOT, *((name, "A") for name in dnssec.BOGUS))
    root, *bogus = await asyncio.gather(
        *(
            ask_server(server, name, rdtype, within=context.lookup_timeout, clock=context.clock)
            for name, rdtype in questions
        )
    )
    return dnssec.judge_trusted(server.host, root, bogus)

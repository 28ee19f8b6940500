"""Our name and our addresses in the DNS."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

from relayd.doctor.context import CheckContext
from relayd.mail.dns import DnsFailure, IpAddress, Names
from relayd.net.local import has_address
from relayd.policy.doctor import names
from relayd.policy.doctor.finding import Finding

_NAMES_LIMIT = 10  # of one address, as in RFC 7208 §4.6.4


async def check_names(context: CheckContext) -> Sequence[Finding]:
    """Look at the name, and for direct mode at where it and our addresses lead."""
    fqdn = context.settings.fqdn
    found = [names.judge_fqdn(fqdn, direct=context.is_direct)]
    if not context.is_direct:
        return [*found, names.judge_not_direct()]
    direct = context.settings.direct
    chosen = [ip_address(each) for each in direct.source_addresses]
    found += [
        names.judge_not_ours(ip, direct.sources_named_by) for ip in chosen if not has_address(ip)
    ]
    if not context.sources:
        found.append(names.judge_no_source())
    found += [names.judge_source(ip) for ip in context.sources]
    said = {ip: direct.helo_of(str(ip)) or fqdn for ip in context.public}
    listed = dict.fromkeys((fqdn, *said.values()))
    forward = {name: await context.dns.addresses(name) for name in listed}
    found += [names.judge_forward(name, addresses) for name, addresses in forward.items()]
    for ip, helo in said.items():
        found.append(names.judge_helo(helo, forward[helo], ip))
        found.append(await _reverse(context, helo, ip))
    return found


async def _reverse(context: CheckContext, helo: str, ip: IpAddress) -> Finding:
    answer = await context.dns.names(ip)
    if isinstance(answer, Names):  # who has hundreds of names is not looked at for all of them
        answer = Names(names=answer.names[:_NAMES_LIMIT])
    given = () if isinstance(answer, DnsFailure) else answer.names
    addresses = await asyncio.gather(*(context.dns.addresses(name) for name in given))
    forward = dict(zip(given, addresses, strict=True))
    return names.judge_reverse(helo, ip, answer, forward)

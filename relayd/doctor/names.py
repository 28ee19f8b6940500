"""Our name and our addresses in the DNS."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

from relayd.doctor.scene import Scene
from relayd.mail.dns import DnsFailure, IpAddress, Names
from relayd.net.local import has_address
from relayd.policy.doctor import names
from relayd.policy.doctor.finding import Finding

_NAMES_LIMIT = 10  # of one address, as in RFC 7208 §4.6.4


async def check_names(scene: Scene) -> Sequence[Finding]:
    """Look at the name, and for direct mode at where it and our addresses lead."""
    fqdn = scene.settings.fqdn
    found = [names.judge_fqdn(fqdn, direct=scene.is_direct)]
    if not scene.is_direct:
        return [*found, names.judge_not_direct()]
    chosen = [ip_address(each) for each in scene.settings.direct.source_addresses]
    found += [names.judge_not_ours(ip) for ip in chosen if not has_address(ip)]
    if not scene.sources:
        found.append(names.judge_no_source())
    found += [names.judge_source(ip) for ip in scene.sources]
    forward = await scene.dns.addresses(fqdn)
    found.append(names.judge_forward(fqdn, forward))
    for ip in scene.public:
        found.append(names.judge_helo(fqdn, forward, ip))
        found.append(await _reverse(scene, ip))
    return found


async def _reverse(scene: Scene, ip: IpAddress) -> Finding:
    answer = await scene.dns.names(ip)
    if isinstance(answer, Names):  # who has hundreds of names is not looked at for all of them
        answer = Names(names=answer.names[:_NAMES_LIMIT])
    given = () if isinstance(answer, DnsFailure) else answer.names
    addresses = await asyncio.gather(*(scene.dns.addresses(name) for name in given))
    forward = dict(zip(given, addresses, strict=True))
    return names.judge_reverse(scene.settings.fqdn, ip, answer, forward)

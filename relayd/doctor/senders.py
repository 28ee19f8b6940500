"""What receivers learn about the domains that we send for: SPF, DKIM, DMARC."""

from collections.abc import Sequence
from itertools import product

from relayd.doctor.context import CheckContext
from relayd.policy.doctor.dkim import judge_dkim, judge_no_key, key_name
from relayd.policy.doctor.dmarc import judge_alignment, judge_no_sender, judge_policy, walk
from relayd.policy.doctor.finding import Finding
from relayd.policy.doctor.spf import evaluate, judge_spf


async def check_spf(context: CheckContext) -> Sequence[Finding]:
    """Ask SPF about each of our public addresses: of our name there, and of those in VERP addresses."""
    direct, fqdn = context.settings.direct, context.settings.fqdn
    said = [((direct.helo_of(str(ip)) or fqdn).lower(), ip) for ip in context.public]
    domains = filter(None, (*context.request.domains, context.settings.bounces.verp_domain))
    found = []
    for domain, ip in dict.fromkeys((*said, *product(domains, context.public))):
        verdict = await evaluate(domain, ip, context.dns)
        found.append(judge_spf(domain, ip, verdict, is_helo=(domain, ip) in said))
    return found


async def check_dkim(context: CheckContext) -> Sequence[Finding]:
    request = context.request
    if not (request.domains and request.selectors):
        return [judge_no_key()]
    return [
        judge_dkim(selector, domain, await context.dns.texts(key_name(selector, domain)))
        for domain in request.domains
        for selector in request.selectors
    ]


async def check_dmarc(context: CheckContext) -> Sequence[Finding]:
    if not context.request.domains:
        return [judge_no_sender()]
    found = []
    for domain in context.request.domains:
        sender = await walk(domain, context.dns)
        verp = context.settings.bounces.verp_domain
        returns = await walk(verp, context.dns) if verp else sender
        alignment = judge_alignment(sender, returns, signs=bool(context.request.selectors))
        found.append(judge_policy(sender))
        found += [] if alignment is None else [alignment]
    return found

"""What receivers learn about the domains that we send for: SPF, DKIM, DMARC."""

from collections.abc import Sequence
from itertools import product

from relayd.config.dkim_files import folder_of, replaced_keys
from relayd.doctor.context import CheckContext
from relayd.doctor.dkim_keys import keys_that_sign, own_keys, signing_domains
from relayd.policy.doctor.dkim import judge_dkim, judge_no_key, key_name
from relayd.policy.doctor.dkim_keys import (
    judge_age,
    judge_no_reports,
    judge_nothing_signed,
    judge_replaced,
    judge_signer,
    judge_unusable,
    signs_for,
)
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
    """Look at our own keys, and at those that the operator names."""
    request, settings = context.request, context.settings
    signing = signing_domains(settings)
    found = [
        judge_dkim(selector, domain, await context.dns.texts(key_name(selector, domain)))
        for domain in request.domains
        for selector in request.selectors
    ]
    for domain in signing:
        found += await _own(context, domain)
    if not request.selectors:
        found += filter(None, (judge_signer(domain, signing) for domain in request.domains))
        if context.is_direct and not signing:
            found.append(judge_nothing_signed())
        if context.is_direct and signing and settings.tlsrpt.is_unsigned:
            found.append(judge_no_reports(settings.fqdn))
    return found or [judge_no_key()]


async def _own(context: CheckContext, domain: str) -> Sequence[Finding]:
    """Look at the keys that sign for a domain, and at what is left of those before them."""
    tables = [each for each in context.settings.dkim if each.domain == domain]
    keys = [each for each in keys_that_sign(context.settings) if each.domain == domain]
    found = [judge_unusable(domain, each.selector, each.problem) for each in tables if each.problem]
    own, now = own_keys(keys), context.clock.now()
    for key in keys:
        answer = await context.dns.texts(key.published.name)
        found.append(judge_dkim(key.selector, domain, answer, own=own[key.selector]))
        found += filter(None, [judge_age(domain, key.selector, key.made_at, now)])
    used = {each.selector for each in tables}
    for each in replaced_keys(folder_of(context.settings.file), domain):
        if each.selector not in used:
            answer = await context.dns.texts(key_name(each.selector, domain))
            found += filter(None, [judge_replaced(each, answer, now)])
    return found


async def check_dmarc(context: CheckContext) -> Sequence[Finding]:
    """Look at the domains that the operator names, and at those that we sign for."""
    signing = signing_domains(context.settings)
    domains = dict.fromkeys((*context.request.domains, *signing))
    if not domains:
        return [judge_no_sender()]
    found = []
    for domain in domains:
        sender = await walk(domain, context.dns)
        verp = context.settings.bounces.verp_domain
        returns = await walk(verp, context.dns) if verp else sender
        strict = sender.record is not None and sender.record.strict_dkim
        signs = bool(context.request.selectors) or signs_for(domain, signing, strict=strict)
        alignment = judge_alignment(sender, returns, signs=signs)
        found.append(judge_policy(sender))
        found += [] if alignment is None else [alignment]
    return found

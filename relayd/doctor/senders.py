"""What receivers learn about the domains that we send for: SPF, DKIM, DMARC."""

from collections.abc import Sequence

from relayd.doctor.scene import Scene
from relayd.policy.doctor.dkim import judge_dkim, judge_no_key, key_name
from relayd.policy.doctor.dmarc import judge_alignment, judge_no_sender, judge_policy, walk
from relayd.policy.doctor.finding import Finding
from relayd.policy.doctor.spf import evaluate, judge_spf


async def check_spf(scene: Scene) -> Sequence[Finding]:
    """Ask SPF about each of our public addresses: of our own name, and of those in VERP addresses."""
    fqdn = scene.settings.fqdn.lower()
    domains = [fqdn, *scene.wish.domains, scene.settings.bounces.verp_domain]
    found = []
    for domain in dict.fromkeys(each for each in domains if each):
        for ip in scene.public:
            verdict = await evaluate(domain, ip, scene.dns)
            found.append(judge_spf(domain, ip, verdict, is_helo=domain == fqdn))
    return found


async def check_dkim(scene: Scene) -> Sequence[Finding]:
    wish = scene.wish
    if not (wish.domains and wish.selectors):
        return [judge_no_key()]
    return [
        judge_dkim(selector, domain, await scene.dns.texts(key_name(selector, domain)))
        for domain in wish.domains
        for selector in wish.selectors
    ]


async def check_dmarc(scene: Scene) -> Sequence[Finding]:
    if not scene.wish.domains:
        return [judge_no_sender()]
    found = []
    for domain in scene.wish.domains:
        sender = await walk(domain, scene.dns)
        verp = scene.settings.bounces.verp_domain
        returns = await walk(verp, scene.dns) if verp else sender
        alignment = judge_alignment(sender, returns, signs=bool(scene.wish.selectors))
        found.append(judge_policy(sender))
        found += [] if alignment is None else [alignment]
    return found

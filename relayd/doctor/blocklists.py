"""Ask the blocklists, politely.

One question at a time, no list that answered twice within an hour, never about addresses that are
not public.
"""

import asyncio
from collections.abc import MutableMapping, Sequence

from relayd.doctor.context import CheckContext
from relayd.mail.dns import IpAddress
from relayd.policy.doctor.blocklist import (
    judge_listing,
    judge_trust,
    listed_probe,
    question_for,
    unlisted_probe,
)
from relayd.policy.doctor.finding import Finding, Level

KEPT_FOR = 3600.0  # seconds, between the rounds of --watch
_PAUSE = 0.1  # seconds between two lists

Memory = MutableMapping[tuple[str, IpAddress], tuple[float, Finding]]


async def check_blocklists(context: CheckContext, memory: Memory) -> Sequence[Finding]:
    """Ask every list about every public address. What is in `memory` from the last hour is not asked."""
    found = []
    now = context.clock.monotonic()
    for zone in context.settings.doctor.blocklists:
        for ip in context.public:
            at, known = memory.get((zone, ip), (now, None))
            if known is None or now - at >= KEPT_FOR:
                known = await _ask(context, zone, ip)
                if known.level is not Level.UNKNOWN:
                    memory[zone, ip] = now, known
                await asyncio.sleep(_PAUSE)
            found.append(known)
    return found


async def _ask(context: CheckContext, zone: str, ip: IpAddress) -> Finding:
    doubt = judge_trust(zone, ip, await context.dns.marks(listed_probe(ip, zone)))
    if doubt is not None:
        return doubt
    question = question_for(ip, zone)
    marks = await context.dns.marks(question)
    if not marks.ips:
        return judge_listing(zone, ip, marks)
    return judge_listing(
        zone,
        ip,
        marks,
        why=await context.dns.texts(question),
        unlisted=await context.dns.marks(unlisted_probe(ip, zone)),
    )

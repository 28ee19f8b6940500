"""Ask the blocklists, politely.

One question at a time, no list that answered twice within an hour, never about addresses that are
not public.
"""

import asyncio
from collections.abc import MutableMapping, Sequence

from relayd.doctor.scene import Scene
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


async def check_blocklists(scene: Scene, memory: Memory) -> Sequence[Finding]:
    """Ask every list about every public address. What is in `memory` from the last hour is not asked."""
    found = []
    now = scene.clock.monotonic()
    for zone in scene.settings.doctor.blocklists:
        for ip in scene.public:
            at, known = memory.get((zone, ip), (now, None))
            if known is None or now - at >= KEPT_FOR:
                known = await _ask(scene, zone, ip)
                if known.level is not Level.UNKNOWN:
                    memory[zone, ip] = now, known
                await asyncio.sleep(_PAUSE)
            found.append(known)
    return found


async def _ask(scene: Scene, zone: str, ip: IpAddress) -> Finding:
    doubt = judge_trust(zone, ip, await scene.dns.marks(listed_probe(ip, zone)))
    if doubt is not None:
        return doubt
    question = question_for(ip, zone)
    marks = await scene.dns.marks(question)
    if not marks.ips:
        return judge_listing(zone, ip, marks)
    return judge_listing(
        zone,
        ip,
        marks,
        why=await scene.dns.texts(question),
        unlisted=await scene.dns.marks(unlisted_probe(ip, zone)),
    )

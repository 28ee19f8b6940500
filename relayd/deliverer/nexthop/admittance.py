"""What a message waits for before it may ask a site for a session: a token, and a slot.

A token is of the rate limit of `direct.messages_per_minute`, a slot of the connections of `sites`.
"""

import asyncio

from relayd.deliverer.nexthop.mx_parts import MxParts
from relayd.deliverer.nexthop.sites import Site
from relayd.deliverer.nexthop.slots import SentAway
from relayd.policy.delivery.throttle import TOKEN_WAIT
from relayd.trace import tracing

AGAIN_AFTER = 30.0
"""Seconds, when somebody has just found no host of the site ready, or the line is long and its room is needed."""
_RATE = "the rate limit of its mail hosts (direct.messages_per_minute)"
_FULL = "all {} connections that its mail hosts are given now are in use"
_OTHERS = (
    "other workers have all connections to its mail hosts (direct.connections_per_destination)"
)
_LONG = "many domains wait for its mail hosts, and other mail needs the room"
_DOWN = "none of its mail hosts was ready when mail of another domain asked them"


async def admit(
    site: Site, domain: str, hosts: frozenset[str], parts: MxParts, *, may_begin: bool
) -> None:
    """Wait for a token, unless it has one (`may_begin`), and for a slot, which is taken. Raises NotYet.

    For a slot as long as it takes, unless other destinations need the room: the hosts are not to blame. But when somebody finds meanwhile
    that none of these is ready, that need not be found again for every domain in the line.
    """
    failed, clock = site.searches_failed, parts.clock
    while True:
        wait = 0.0
        if not may_begin:
            await parts.sites.rates.book(site.key)
            wait = parts.sites.rates.token(site.key, domain)
        if wait > TOKEN_WAIT:
            raise parts.not_yet(wait, _RATE)
        if wait and tracing.is_on:
            tracing.tell("token_awaited", seconds=round(wait, 3), reason=_RATE)
        due = clock.monotonic() + wait
        await asyncio.sleep(wait)
        if tracing.is_on and site.slots.is_full:
            given = site.slots.given
            tracing.tell("connection_awaited", reason=_FULL.format(given) if given else _OTHERS)
        try:
            await site.slots.acquire()
        except SentAway:
            raise parts.not_yet(AGAIN_AFTER, _LONG) from None
        if site.has_failed(hosts, since=failed):
            site.slots.release()
            raise parts.not_yet(AGAIN_AFTER, _DOWN)
        if may_begin or clock.monotonic() - due <= TOKEN_WAIT:
            return
        site.slots.release()  # the token has lapsed: too many would begin at once

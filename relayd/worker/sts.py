"""MTA-STS for a worker: where policies come from, and that they are fetched again."""

import asyncio
from functools import cache

import structlog

from relayd.deliverer.sts import StsPolicies
from relayd.deliverer.tally import TlsTally
from relayd.errors import StoreBroken, StoreError
from relayd.net.dns.resolver import DnsResolver
from relayd.net.https import verifying
from relayd.net.sts_fetch import StsFetcher
from relayd.policy.tls.counting import counted_failure
from relayd.policy.tls.sts import NoPolicy, StsPolicy
from relayd.settings import Settings
from relayd.store import open_view
from relayd.worker.parts import Parts
from relayd.worker.system import SystemClock
from relayd.worker.web import web_addresses

_REFRESHED = 60.0  # seconds between looks for policies that are a day old

log = structlog.get_logger()


def sts_policies(
    settings: Settings, parts: Parts, resolver: DnsResolver, tally: TlsTally | None
) -> StsPolicies | None:
    """Return the policies of domains; None: they do not count."""
    if not settings.direct.mta_sts:
        return None

    def note_failure(domain: str, policy: StsPolicy | None, why: NoPolicy) -> None:
        if tally is not None:
            tally.note(counted_failure(domain, policy, why, parts.clock.now().date()))

    # The context is made when the first web server is asked: its authorities cost memory.
    fetcher = StsFetcher(resolver, may_ask=web_addresses(settings), context=cache(verifying))
    return StsPolicies(
        parts.store.trust, resolver, fetcher, clock=parts.clock, note_failure=note_failure
    )


async def keep_policies(policies: StsPolicies | None, parts: Parts) -> None:
    """Fetch policies again that are a day old, each by one worker (RFC 8461 §3.3)."""
    while policies is not None:
        await asyncio.sleep(_REFRESHED + parts.worker % 8)
        try:
            await policies.refresh()
        except StoreBroken:
            raise
        except StoreError as error:
            log.warning("sts_policy_not_kept", fault="local", reason=str(error))


class KeptPolicies:
    """The policies as the queue file has them, for those who only look."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def begin(self, domain: str) -> None:
        """Nothing: the file is at hand."""

    async def policy(self, domain: str) -> StsPolicy | None:
        """Return the policy that is kept; None: none is, or there is no queue to look at."""
        if not self._settings.direct.mta_sts:
            return None
        try:
            view = open_view(self._settings.store.url)
        except StoreError:
            return None
        try:
            entry = view.trust.kept_sts_policy(domain)
        except StoreError:
            return None
        finally:
            view.close()
        return None if entry is None else entry.live(SystemClock().now())

    async def policy_now(self, domain: str) -> StsPolicy | None:
        return await self.policy(domain)

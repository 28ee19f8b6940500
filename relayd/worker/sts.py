"""MTA-STS for a worker: where policies come from, and that they are fetched again."""

import asyncio
from functools import cache

import structlog

from relayd.deliverer.sts import StsPolicies
from relayd.deliverer.tally import TlsTally
from relayd.errors import StoreBroken, StoreError
from relayd.mail.dns import IpAddress
from relayd.net.dns.resolver import DnsResolver
from relayd.net.https import verifying
from relayd.net.local import is_own
from relayd.net.sts_fetch import StsFetcher
from relayd.policy.delivery.address_filter import AddressVerdict, vet_address
from relayd.policy.tls.counting import counted_failure
from relayd.policy.tls.sts import NoPolicy, StsPolicy
from relayd.settings import Settings
from relayd.store import open_view
from relayd.worker.parts import Parts
from relayd.worker.system import SystemClock

_HTTPS = 443
_REFRESHED = 60.0  # seconds between looks for policies that are a day old

log = structlog.get_logger()


def sts_policies(
    settings: Settings, parts: Parts, resolver: DnsResolver, tally: TlsTally
) -> StsPolicies | None:
    """Return the policies of domains; None: they do not count."""
    if not settings.direct.mta_sts:
        return None
    listening = frozenset(
        (listener.endpoint.host, listener.endpoint.port)
        for listener in settings.listeners
        if listener.endpoint is not None
    )

    def may_ask(ip: IpAddress) -> bool:
        """Vet the address of a web server that a stranger's DNS names (S-26)."""
        verdict = vet_address(ip, allowed=settings.direct.allow_networks)
        return verdict is AddressVerdict.USABLE and not is_own(ip, _HTTPS, listening)

    def note_failure(domain: str, policy: StsPolicy | None, why: NoPolicy) -> None:
        tally.note(counted_failure(domain, policy, why, parts.clock.now().date()))

    # The context is made when the first web server is asked: its authorities cost memory.
    fetcher = StsFetcher(resolver, may_ask=may_ask, context=cache(verifying))
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

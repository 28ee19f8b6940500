"""Fetch a domain's MTA-STS policy from its web server.

Owns the address, which is found by our resolver and vetted like a mail host's (S-26), and the time that all of it may
take. What the answer means is decided in `policy.tls.sts`; whatever happens is an outcome.

Source: RFC 8461 §3.3.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol

from relayd.mail.dns import Addresses, IpAddress
from relayd.net.https import HttpRequest, Unanswered, ask
from relayd.policy.tls.sts import OCTETS, NoPolicy, StsFault, StsPolicy, judge

_ADDRESSES = 4  # that are tried


class Addressing(Protocol):
    """What finds addresses."""

    async def addresses(self, host: str, /) -> Addresses: ...


class StsFetcher:
    """Fetches policies. `may_ask` vets an address; `context` gives what certificates are checked by."""

    def __init__(
        self,
        resolver: Addressing,
        *,
        may_ask: Callable[[IpAddress], bool],
        context: Callable[[], ssl.SSLContext],
        port: int = 443,
    ) -> None:
        self._resolver = resolver
        self._may_ask = may_ask
        self._context = context
        self._port = port

    async def fetch(self, domain: str, policy_id: str, *, within: float) -> StsPolicy | NoPolicy:
        """Return the policy of a domain in A-labels, or why there is none; `within` so many seconds."""
        host = f"mta-sts.{domain}"
        try:
            async with asyncio.timeout(within):
                return await self._fetch(host, policy_id, within)
        except TimeoutError:
            return _failed(f"{host} does not answer within {within:g} s")

    async def _fetch(self, host: str, policy_id: str, within: float) -> StsPolicy | NoPolicy:
        found = await self._resolver.addresses(host)
        ips = [str(ip) for ip in found.ips if self._may_ask(ip)][:_ADDRESSES]
        if not ips:
            why = found.failures[0].reason if found.failures else f"{host} has no address"
            return _failed(f"{host} has no public address" if found.ips else why)
        place = host if self._port == 443 else f"{host}:{self._port}"
        request = HttpRequest(url=f"https://{place}/.well-known/mta-sts.txt", accept="text/plain")
        try:
            answer = await ask(request, tls=self._context(), ips=ips, within=within, most=OCTETS)
        except Unanswered as silent:
            fault = StsFault.CERTIFICATE if silent.of_certificate else StsFault.FETCH
            return _failed(str(silent), fault)
        return judge(answer, policy_id)


def _failed(why: str, fault: StsFault = StsFault.FETCH) -> NoPolicy:
    return NoPolicy(f"the MTA-STS policy cannot be fetched: {why}", fault)

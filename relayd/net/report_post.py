"""Send a TLS report to a web server that a stranger's DNS names.

Owns the address, which is found by our resolver and vetted like a mail host's (S-26), and how often that is tried.

Source: RFC 8460 §5.4.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from relayd.mail.dns import Addresses, IpAddress
from relayd.net.https import HttpRequest, Unanswered, ask

_ADDRESSES = 4  # that are tried
_WITHIN = 20.0  # seconds for one try
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_WAITS = (5.0, 60.0)  # seconds after a try that failed; then no more


class Addressing(Protocol):
    """What finds addresses."""

    async def addresses(self, host: str, /) -> Addresses: ...


class ReportPoster:
    """`relayd.deliverer.tls_reports.PostsReport`. `may_ask` vets an address; `context` gives what certificates are checked by."""

    def __init__(
        self,
        resolver: Addressing,
        *,
        media_type: str,
        may_ask: Callable[[IpAddress], bool],
        context: Callable[[], ssl.SSLContext],
        port: int = 443,
        waits: Sequence[float] = _WAITS,
    ) -> None:
        self._resolver = resolver
        self._media_type = media_type
        self._may_ask = may_ask
        self._context = context
        self._port = port
        self._waits = waits

    async def post(self, url: str, report: bytes) -> str:
        """Send a report; return why it was not taken, after the last try, or empty."""
        for wait in self._waits:
            tried = await self._try(url, report)
            if tried.is_final:
                return tried.why
            await asyncio.sleep(wait)
        return (await self._try(url, report)).why

    async def _try(self, url: str, report: bytes) -> "_Tried":
        place = urlsplit(url)
        host = place.hostname or ""
        found = await self._resolver.addresses(host)
        ips = [str(ip) for ip in found.ips if self._may_ask(ip)][:_ADDRESSES]
        if not ips:
            return _Tried(f"{host} has no public address")
        if self._port != 443:
            url = place._replace(netloc=f"{host}:{self._port}").geturl()
        request = HttpRequest(url=url, body=report, content_type=self._media_type)
        try:
            answer = await ask(request, tls=self._context(), ips=ips, within=_WITHIN)
        except Unanswered as silent:
            return _Tried(str(silent))
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return _Tried("", is_final=True)
        return _Tried(f"{host} answers {answer.status}", is_final=_is_refusal(answer.status))


@dataclass(frozen=True, slots=True)
class _Tried:
    why: str  # it was not taken; empty: it was
    is_final: bool = False  # another try would end the same way


def _is_refusal(status: int) -> bool:
    """Tell whether the fault is said to be ours, so that the same report is refused again."""
    is_ours = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return is_ours and status not in _LATER

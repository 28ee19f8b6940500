"""One request to a receiver, within bounds: to an address that was judged, and no further.

Somebody who may add a webhook says where it leads, and the DNS says to which address. So that nobody has
relayd ask its own network, the name is looked up once, each address is judged (S-26), and that address is
connected to: what the DNS says a moment later does not count. SNI, certificate and Host are of the name. No
redirect is followed, no proxy asked. The answer's body is read to a bound, for the receiver's sake, and thrown
away.

Sources: RFC 9110 §7.2 (Host), RFC 6066 §3 (SNI), https://cheatsheetseries.owasp.org (SSRF prevention).
"""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from time import monotonic
from typing import Any, Protocol

import httpcore2

import relayd
from relayd.errors import Shortage
from relayd.mail.dns import Addresses, IpAddress
from relayd.policy.console.webhook_url import WebhookUrl, read_url
from relayd.policy.delivery.address_filter import AddressVerdict, vet_address
from relayd.ports.outbox import Heard
from relayd.settings import WebhookSettings

WITHIN = 10.0  # seconds for all of it
ANSWER_LIMIT = 64 * 1024  # octets of an answer's body that are read
_CONNECT_WITHIN = 4.0  # seconds for one address, so that there is time for another
_RETRY_AFTER = b"retry-after"


class Resolver(Protocol):
    async def addresses(self, host: str) -> Addresses:
        """Return the addresses of a host. Raises Shortage."""
        ...


class Refused(Exception):
    """There is nobody whom we may connect to; the text says why, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was heard, and the field Retry-After as it was written."""

    heard: Heard
    retry_after: str | None = None


class Caller:
    """Sends requests. `context` says which certificates are good."""

    def __init__(
        self, resolver: Resolver, settings: WebhookSettings, context: ssl.SSLContext
    ) -> None:
        self._backend = VettedBackend(resolver, settings)
        self._rules = settings.url_rules
        self._context = context

    async def post(self, url: str, fields: Sequence[tuple[str, str]], body: bytes) -> Answer:
        """Send one request; whatever happens, the answer says it."""
        began = monotonic()
        status, octets, retry_after, trouble = None, 0, None, ""
        try:
            async with asyncio.timeout(WITHIN):
                read = read_url(url, self._rules)
                async with self._connection(read) as connection:
                    request = _request(read, fields, body)
                    response = await connection.handle_async_request(request)
                    status = response.status
                    retry_after = _field(response.headers, _RETRY_AFTER)
                    octets = await _read_some(response)
        except Exception as error:  # noqa: BLE001 -- the one catch-all of this unit of work
            if status is None:  # else it has answered, whatever came after
                trouble = _in_words(error)
        took = timedelta(seconds=monotonic() - began)
        heard = Heard(status=status, trouble=trouble, octets=octets, took=took)
        return Answer(heard=heard, retry_after=retry_after)

    def _connection(self, url: WebhookUrl) -> httpcore2.AsyncHTTPConnection:
        return httpcore2.AsyncHTTPConnection(
            httpcore2.Origin(_scheme(url), str(url.host).encode(), url.port),
            ssl_context=self._context,
            network_backend=self._backend,
        )


class VettedBackend(httpcore2.AnyIOBackend):
    """Connects to a host by the addresses that it has at that moment, if they may be connected to."""

    def __init__(self, resolver: Resolver, settings: WebhookSettings) -> None:
        self._resolver = resolver
        self._allowed = settings.allow_networks

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 -- as the library has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Any:
        """Return a stream. Raises Refused, or what the last address gave."""
        failed: Exception | None = None
        for ip in self._usable(await self._find(host)):
            try:
                return await super().connect_tcp(
                    str(ip), port, _CONNECT_WITHIN, local_address, socket_options
                )
            except httpcore2.NetworkError as error:
                failed = error
            except httpcore2.TimeoutException as error:
                failed = error
        raise failed or Refused("address not allowed")

    async def _find(self, host: str) -> Sequence[IpAddress]:
        try:
            literal = ip_address(host)
        except ValueError:
            found = await self._resolver.addresses(host)
        else:
            return [literal]
        if not found.ips:
            raise Refused("no answer of the DNS" if found.failures else "no address")
        return found.ips

    def _usable(self, found: Iterable[IpAddress]) -> list[IpAddress]:
        return [
            ip for ip in found if vet_address(ip, allowed=self._allowed) is AddressVerdict.USABLE
        ]


def _request(url: WebhookUrl, fields: Sequence[tuple[str, str]], body: bytes) -> httpcore2.Request:
    return httpcore2.Request(
        "POST",
        httpcore2.URL(
            scheme=_scheme(url),
            host=str(url.host).encode(),
            port=url.port,
            target=url.target.encode(),
        ),
        headers=[
            ("Host", url.authority),
            ("User-Agent", f"relayd/{relayd.__version__}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            *fields,
        ],
        content=body,
    )


def _scheme(url: WebhookUrl) -> bytes:
    return b"https" if url.is_https else b"http"


async def _read_some(response: httpcore2.Response) -> int:
    """Read the body of an answer, to the bound; return how many octets that was."""
    octets = 0
    async for chunk in response.aiter_stream():
        octets += len(chunk)
        if octets >= ANSWER_LIMIT:
            break
    return min(octets, ANSWER_LIMIT)


def _field(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next(
        (value.decode("ascii", "replace") for key, value in headers if key.lower() == name), None
    )


def _in_words(error: Exception) -> str:
    """Say why there was no answer: from a closed list, so that nothing of the receiver is in it."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, httpcore2.ConnectError):
        return "TLS failed" if _is_of_tls(error) else "no connection"
    return next((words for kind, words in _WORDS if isinstance(error, kind)), "failed")


_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "time is up"),
    (httpcore2.TimeoutException, "time is up"),
    (httpcore2.NetworkError, "no answer"),
    (httpcore2.ProtocolError, "no answer"),
    (Shortage, "no resources"),
    (ValueError, "URL not allowed"),
)


def _is_of_tls(error: Exception) -> bool:
    return isinstance(error.__cause__ or error.__context__, ssl.SSLError)

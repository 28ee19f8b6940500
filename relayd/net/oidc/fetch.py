"""One JSON document from a server that the settings name, within bounds.

HTTPS only, and no redirect is followed. The address is not judged: an administrator named the issuer, and it
may well be on a private network. The time is bounded by who asks.
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpcore2

import relayd
from relayd.policy.console.webhook_url import UrlRules, read_url
from relayd.ports.oidc import OidcFailed

ANSWER_LIMIT = 256 * 1024  # octets
_RULES = UrlRules(ports=range(1, 65536))


class Fetch:
    """Asks servers. `context` says which certificates are good."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    async def get(self, url: str) -> Mapping[str, Any]:
        """Return the document. Raises OidcFailed."""
        return await self._ask("GET", url, {}, None)

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Return what is answered to a form. Raises OidcFailed."""
        fields = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", url, fields, urlencode(form).encode())

    async def _ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes | None
    ) -> Mapping[str, Any]:
        try:
            read = read_url(url, _RULES)
        except ValueError as error:
            raise OidcFailed(f"a URL of the provider {error}") from error
        where, host = f"{read.authority}{read.target.partition('?')[0]}", str(read.host).encode()
        request = httpcore2.Request(
            method,
            httpcore2.URL(scheme=b"https", host=host, port=read.port, target=read.target.encode()),
            headers=[
                ("Host", read.authority),
                ("User-Agent", f"relayd/{relayd.__version__}"),
                ("Accept", "application/json"),
                ("Accept-Encoding", "identity"),
                ("Connection", "close"),
                *({} if body is None else {"Content-Length": str(len(body))}).items(),
                *fields.items(),
            ],
            content=body,
        )
        origin = httpcore2.Origin(b"https", host, read.port)
        try:
            async with httpcore2.AsyncHTTPConnection(
                origin, ssl_context=self._context
            ) as connection:
                response = await connection.handle_async_request(request)
                octets = await _read(response, where)
        except (httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            raise OidcFailed(f"{where}: {type(error).__name__}") from error
        except httpcore2.NetworkError as error:
            raise OidcFailed(f"{where}: {str(error)[:200] or type(error).__name__}") from error
        return _document(response.status, octets, where)


async def _read(response: httpcore2.Response, where: str) -> bytes:
    octets = bytearray()
    async for chunk in response.aiter_stream():
        octets += chunk
        if len(octets) > ANSWER_LIMIT:
            raise OidcFailed(f"{where}: the answer has more than {ANSWER_LIMIT} octets")
    return bytes(octets)


def _document(status: int, octets: bytes, where: str) -> Mapping[str, Any]:
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        found = None
    if status != 200:
        raise OidcFailed(f"{where}: answered {status}{_error_in(found)}")
    if not isinstance(found, dict):
        raise OidcFailed(f"{where}: the answer is no JSON object")
    return found


def _error_in(found: object) -> str:
    """Return the error code of an answer (RFC 6749 §5.2); of what it says beside that nothing."""
    code = found.get("error") if isinstance(found, dict) else None
    is_code = isinstance(code, str) and code.isascii() and code.replace("_", "").isalnum()
    return f", {code[:40]}" if is_code and isinstance(code, str) else ""

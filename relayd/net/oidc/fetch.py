"""One JSON document from a server that the settings name, within bounds.

HTTPS only, and no redirect is followed. The address is not judged: an administrator named the issuer, and it
may well be on a private network. The time is bounded by who asks.
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from relayd.net.https import HttpRequest, Unanswered, ask
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
        return await self._ask(url, {}, None)

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Return what is answered to a form. Raises OidcFailed."""
        return await self._ask(url, headers, urlencode(form).encode())

    async def _ask(
        self, url: str, fields: Mapping[str, str], body: bytes | None
    ) -> Mapping[str, Any]:
        try:
            read = read_url(url, _RULES)
        except ValueError as error:
            raise OidcFailed(f"a URL of the provider {error}") from error
        where = f"{read.authority}{read.target.partition('?')[0]}"
        request = HttpRequest(
            url=f"https://{read.authority}{read.target}",
            body=body,
            accept="application/json",
            fields=fields,
        )
        try:
            answer = await ask(request, tls=self._context, most=ANSWER_LIMIT)
        except Unanswered as silent:
            raise OidcFailed(f"{where}: {silent.why}") from silent
        return _document(answer.status, answer.body, where)


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

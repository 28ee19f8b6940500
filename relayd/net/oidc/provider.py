"""The authorization code flow with PKCE, against one provider.

    authorization_url   its discovery document says where the browser is sent
    claims              the code is exchanged for an ID token, whose signature is checked by the provider's
                        keys; if none of them fits, they are fetched once more: it may have changed them

Document and keys are kept for ten minutes. All that one log-in asks has ten seconds together, and few are
under way at a time, so that a provider which says nothing holds nobody else up.

Source: OpenID Connect Discovery 1.0 §4, Core 1.0 §3.1; RFC 6749 §2.3.1, §4.1; RFC 7636.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus, urlencode

from relayd.net.oidc.fetch import Fetch
from relayd.net.oidc.tokens import UnknownKey, claims_in
from relayd.policy.console.webhook_url import UrlRules, read_url
from relayd.ports.oidc import Begun, OidcFailed, Returned
from relayd.ports.outward import Clock
from relayd.settings import ConsoleOidcSettings

WITHIN = 8.0  # seconds
_AT_ONCE = 4  # log-ins
_KEPT = 600.0  # seconds
_WELL_KNOWN = "/.well-known/openid-configuration"
_BASIC, _POST = "client_secret_basic", "client_secret_post"


class Provider:
    """`relayd.ports.oidc.IdentityProvider`."""

    def __init__(
        self, settings: ConsoleOidcSettings, context: ssl.SSLContext, clock: Clock
    ) -> None:
        self._settings = settings
        self._issuer = settings.rules.issuer
        self._fetch = Fetch(context)
        self._clock = clock
        self._under_way = 0
        self._kept: dict[str, tuple[float, Mapping[str, Any]]] = {}  # by URL

    async def authorization_url(self, begun: Begun) -> str:
        async with self._turn():
            document = await self._discovered()
        endpoint = _url_in(document, "authorization_endpoint")
        query = {
            "response_type": "code",
            "client_id": self._settings.rules.client_id,
            "redirect_uri": begun.redirect_uri,
            "scope": " ".join(("openid", *self._settings.scopes)),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def claims(self, returned: Returned) -> Mapping[str, object]:
        async with self._turn():
            document = await self._discovered()
            token = await self._exchanged(returned, document)
            keys_at = _url_in(document, "jwks_uri")
            try:
                return claims_in(token, await self._keys(keys_at))
            except UnknownKey:
                self._kept.pop(keys_at, None)
                return claims_in(token, await self._keys(keys_at))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._under_way >= _AT_ONCE:
            raise OidcFailed("too many log in at the same time")
        self._under_way += 1
        try:
            async with asyncio.timeout(WITHIN):
                yield
        except TimeoutError as slow:
            raise OidcFailed(f"no answer within {WITHIN:g} s") from slow
        finally:
            self._under_way -= 1

    async def _discovered(self) -> Mapping[str, Any]:
        document = await self._get(self._issuer.removesuffix("/") + _WELL_KNOWN)
        if document.get("issuer") != self._issuer:
            raise OidcFailed("the discovery document is of another issuer than console.oidc.issuer")
        return document

    async def _keys(self, url: str) -> Sequence[Mapping[str, Any]]:
        keys = (await self._get(url)).get("keys")
        if not isinstance(keys, list):
            raise OidcFailed("the provider's keys are no list")
        return [each for each in keys if isinstance(each, dict)]

    async def _exchanged(self, returned: Returned, document: Mapping[str, Any]) -> str:
        """Return the ID token for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": returned.code,
            "redirect_uri": returned.redirect_uri,
            "code_verifier": returned.verifier,
        }
        proof, headers = self._authentication(document)
        answer = await self._fetch.post(
            _url_in(document, "token_endpoint"), {**form, **proof}, headers
        )
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcFailed("the provider gave no ID token")
        return token

    def _authentication(self, document: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return what proves who we are: fields of the form, and of the header."""
        client_id, secret = self._settings.rules.client_id, self._settings.secret
        if secret is None:
            return {"client_id": client_id}, {}
        methods = document.get("token_endpoint_auth_methods_supported")
        if not isinstance(methods, list):
            methods = [_BASIC]  # OpenID Connect Discovery 1.0 §3
        if _BASIC in methods:
            pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
            return {}, {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        if _POST in methods:
            return {"client_id": client_id, "client_secret": secret}, {}
        raise OidcFailed(f"the provider takes neither {_BASIC} nor {_POST}")

    async def _get(self, url: str) -> Mapping[str, Any]:
        now = self._clock.monotonic()
        at, document = self._kept.get(url, (now - _KEPT, {}))
        if now - at >= _KEPT:
            document = await self._fetch.get(url)
            self._kept[url] = (now, document)
        return document


def _url_in(document: Mapping[str, Any], name: str) -> str:
    url = document.get(name)
    try:
        read_url(str(url), UrlRules(ports=range(1, 65536)))
    except ValueError as error:
        raise OidcFailed(f"{name} of the discovery document {error}") from error
    return str(url)

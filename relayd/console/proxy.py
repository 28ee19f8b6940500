"""The proxy before the console that says who somebody is, as requests come from it.

Owns the reading of a request and of the shared secret; `relayd.policy.console.proxy_login` judges.
"""

from ipaddress import ip_address
from pathlib import Path

import structlog
from starlette.requests import Request

from relayd.console import guard
from relayd.errors import StartError
from relayd.mail.dns import IpAddress
from relayd.policy.console.proxy_login import Claim, Doubt, name_claimed
from relayd.secret_files import SecretError, read_secret
from relayd.settings import ConsoleProxySettings

_log = structlog.get_logger(__name__)


class Proxy:
    """What the settings say of it; None: nobody is let in by a proxy's word."""

    def __init__(self, settings: ConsoleProxySettings | None) -> None:
        """Read the secret. Raises StartError."""
        self._rules = None if settings is None else settings.rules
        file = None if settings is None else settings.secret_file
        self._secret = None if file is None else _read(file)

    def name_of(self, request: Request) -> str | None:
        """Return whom the proxy names; None: nobody, or it is not believed."""
        found = self._judged(request)
        return None if isinstance(found, Doubt) else found

    def name_told(self, request: Request) -> str | None:
        """Return as `name_of` for somebody who logs in, and log why a name was not believed."""
        found = self._judged(request)
        if not isinstance(found, Doubt):
            return found
        _log.warning(
            "console_proxy_not_believed", reason=found.value, client_ip=guard.client_of(request)
        )
        return None

    def _judged(self, request: Request) -> str | Doubt | None:
        if self._rules is None:
            return None
        claim = Claim(
            names=request.headers.getlist(self._rules.header),
            secrets=request.headers.getlist(self._rules.secret_header),
            peer=_peer_of(request),
            is_unix=guard.is_unix(request),
        )
        return name_claimed(claim, self._rules, self._secret)


def _peer_of(request: Request) -> IpAddress | None:
    return None if request.client is None else ip_address(request.client.host.partition("%")[0])


def _read(file: str) -> str:
    try:
        secret, warning = read_secret(Path(file))
    except SecretError as error:
        raise StartError(f"console.proxy.secret_file: {error}") from error
    if warning:
        _log.warning("settings_warning", reason=f"console.proxy.secret_file: {warning}")
    return secret

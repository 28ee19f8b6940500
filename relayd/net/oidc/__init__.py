"""Logging people in by OpenID Connect: `provider` knows the flow, `tokens` the signatures, `fetch` the wire.

The packages for that are an extra, so nothing here needs them before somebody names an issuer.
"""

import ssl

from relayd.ports.oidc import IdentityProvider
from relayd.ports.outward import Clock
from relayd.settings import ConsoleOidcSettings


def provider_of(settings: ConsoleOidcSettings | None, clock: Clock) -> IdentityProvider | None:
    """Return what asks the provider of the settings, by the system's certificates; None without one."""
    if settings is None:
        return None
    from relayd.net.oidc.provider import Provider  # noqa: PLC0415 -- its packages are an extra

    return Provider(settings, ssl.create_default_context(), clock)

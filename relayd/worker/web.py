"""Web servers that strangers name in the DNS: which addresses a worker may ask."""

from collections.abc import Callable

from relayd.mail.dns import IpAddress
from relayd.net.local import is_own
from relayd.policy.delivery.address_filter import AddressVerdict, vet_address
from relayd.settings import Settings

_HTTPS = 443


def web_addresses(settings: Settings) -> Callable[[IpAddress], bool]:
    """Return what vets the address of a web server that a stranger's DNS names (S-26)."""
    listening = frozenset(
        (listener.endpoint.host, listener.endpoint.port)
        for listener in settings.listeners
        if listener.endpoint is not None
    )

    def may_ask(ip: IpAddress) -> bool:
        verdict = vet_address(ip, allowed=settings.direct.allow_networks)
        return verdict is AddressVerdict.USABLE and not is_own(ip, _HTTPS, listening)

    return may_ask

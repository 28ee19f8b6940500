"""Reading what says where mail goes: routes, addresses, name servers."""

from ipaddress import ip_address

from relayd.config import units
from relayd.mail.address import PathError, parse_address
from relayd.mail.dns import DomainError, a_labels
from relayd.policy.route import HostPort, OnHold, Route, ViaHost, ViaMx, ViaSmarthost

_DNS_PORT = 53


def named_route(pattern: str, name: str) -> Route:
    """Return the route that a value of `[routes]` names. Raises ValueError."""
    match name:
        case "smarthost":
            return ViaSmarthost()
        case "direct":
            return ViaMx("")
        case "hold":
            return OnHold(pattern)
        case _:
            return ViaHost(units.next_hop(name))


def table(routes: dict[str, str]) -> dict[str, str]:
    """Check the patterns and values of `[routes]`."""
    for pattern, name in routes.items():
        try:
            a_labels(pattern.removeprefix("*."))
        except DomainError as wrong:
            raise ValueError(
                f'{pattern!r} is {wrong}: expected "example.org" or "*.example.org"'
            ) from None
        try:
            named_route(pattern, name)
        except ValueError:
            raise ValueError(
                f'{pattern!r}: expected "smarthost", "direct", "hold" or HOST:PORT'
            ) from None
    return routes


def address(value: object) -> str:
    """Read a mail address."""
    text = units.text(value)
    try:
        return str(parse_address(text))
    except PathError:
        raise ValueError("expected an address such as user@example.org") from None


def address_or_none(value: object) -> str:
    return "" if value == "" else address(value)


def address_or_domain(value: object) -> str:
    """Read a mail address, or a domain alone."""
    text = units.text(value)
    if "@" in text:
        return address(text)
    try:
        a_labels(text)
    except DomainError:
        raise ValueError("expected an address or a domain") from None
    return text


def ip(value: object) -> str:
    """Read an IP address."""
    try:
        return str(ip_address(units.text(value)))
    except ValueError:
        raise ValueError("expected an IP address such as 192.0.2.1") from None


def nameserver(value: object) -> HostPort:
    """Read IP or IP:PORT; an IPv6 address with a port is in brackets."""
    text = units.text(value)
    try:
        return HostPort(host=str(ip_address(text.strip("[]"))), port=_DNS_PORT)
    except ValueError:
        pass
    server = units.next_hop(text)
    try:
        ip_address(server.host)
    except ValueError:
        raise ValueError("expected IP or IP:PORT, such as 192.0.2.53") from None
    return server

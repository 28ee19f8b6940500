"""Reading what says where mail goes: routes, addresses, name servers."""

from contextlib import suppress
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


def pattern(value: object) -> str:
    """Read a key of `[routes]`."""
    text = units.text(value)
    try:
        a_labels(text.removeprefix("*."))
    except DomainError:
        raise ValueError(
            'expected a domain as key, such as "example.org", or "*.example.org" for all below it'
        ) from None
    return text


def destination(value: object) -> str:
    """Read a value of `[routes]`."""
    text = units.text(value)
    try:
        named_route("", text)
    except ValueError:
        raise ValueError('expected "smarthost", "direct", "hold" or "HOST:PORT"') from None
    return text


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


def domain_or_none(value: object) -> str:
    """Read a domain; empty stays empty."""
    text = units.text(value)
    try:
        return text and a_labels(text)
    except DomainError as wrong:
        raise ValueError(
            f"expected a domain such as bounces.example.org: this is {wrong}"
        ) from None


def zone(value: object) -> str:
    """Read the domain of a blocklist."""
    try:
        return a_labels(units.text(value))
    except DomainError as wrong:
        raise ValueError(f"expected a domain such as zen.spamhaus.org: this is {wrong}") from None


def ip(value: object) -> str:
    """Read an IP address."""
    try:
        return str(ip_address(units.text(value)))
    except ValueError:
        raise ValueError("expected an IP address such as 192.0.2.1") from None


def nameserver(value: object) -> HostPort:
    """Read IP or IP:PORT; an IPv6 address with a port is in brackets."""
    text = units.text(value)
    with suppress(ValueError):
        return HostPort(host=ip(text), port=_DNS_PORT)
    try:
        server = units.next_hop(text)
        return HostPort(host=ip(server.host), port=server.port)
    except ValueError:
        raise ValueError(
            'expected "IP" or "IP:PORT", such as "192.0.2.53" or "[2001:db8::53]:53"'
        ) from None

"""Reading what says where mail goes: routes, addresses, name servers."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from relayd.config import units
from relayd.mail.address import PathError, parse_address
from relayd.mail.dns import DomainError, a_labels
from relayd.policy.delivery.route import (
    HostPort,
    OnHold,
    Route,
    ViaHost,
    ViaMx,
    ViaSmarthost,
    smarthost_of,
)
from relayd.settings import TlsMode

_DNS_PORT = 53
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A value of `[routes]`; what follows `name` counts for a host only."""

    name: str  # "smarthost", "smarthost:NAME", "direct", "hold" or "HOST:PORT"
    tls: TlsMode = TlsMode.OPPORTUNISTIC
    assume_8bit: bool = False

    def written(self) -> str | dict[str, object]:
        """Return it as it may be written in the file, in the shortest way."""
        if self == Destination(name=self.name):
            return self.name
        return {"host": self.name, "tls": self.tls.value, "assume_8bit": self.assume_8bit}


def named_route(pattern: str, name: str) -> Route:
    """Return the route that a value of `[routes]` names. Raises ValueError."""
    if (smarthost := smarthost_of(name)) is not None:
        return ViaSmarthost(smarthost)
    match name:
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


def ascii_pattern(text: str) -> str:
    """Return a pattern with its domain as A-labels."""
    name = text.removeprefix("*.")
    return text[: len(text) - len(name)] + a_labels(name)


def destination(value: object) -> Destination:
    """Read a value of `[routes]`: a word or a host, or a table for a host."""
    if isinstance(value, dict):
        return _host_table(value)
    text = units.text(value)
    try:
        named_route("", text)
    except ValueError:
        raise ValueError(
            'expected "smarthost", "smarthost:NAME", "direct", "hold" or "HOST:PORT"'
        ) from None
    return Destination(name=text)


def _host_table(table: Mapping[str, object]) -> Destination:
    if "host" not in table:  # where it has other keys, they are labels of an unquoted domain
        raise ValueError(
            'expected text in quotes, or { host = "HOST:PORT" } with tls or assume_8bit;'
            " a domain with a dot needs quotes too"
        )
    if table.keys() - {"host", "tls", "assume_8bit"}:
        raise ValueError("unknown key in the table; the keys here are host, tls, assume_8bit")
    assume_8bit = table.get("assume_8bit", False)
    if not isinstance(assume_8bit, bool):
        raise ValueError("assume_8bit: expected true or false")  # noqa: TRY004 - as elsewhere
    return Destination(
        name=str(_named("host", units.next_hop, table["host"])),
        tls=_named("tls", units.word(TlsMode), table.get("tls", TlsMode.OPPORTUNISTIC.value)),
        assume_8bit=assume_8bit,
    )


def _named(name: str, read: Callable[[object], Value], value: object) -> Value:
    try:
        return read(value)
    except ValueError as wrong:
        raise ValueError(f"{name}: {wrong}") from None


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


def console_host(value: object) -> str:
    """Read a name that browsers know the console by: a host or an address, without a port."""
    text = units.text(value).lower()
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        return a_labels(text)
    except DomainError as wrong:
        raise ValueError(
            f"expected a host such as console.example.org, without a port: this is {wrong}"
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

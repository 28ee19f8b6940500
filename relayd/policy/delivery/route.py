"""Where a recipient goes, and under which key the store keeps that destination.

Leases, limits and pauses are kept by route key. A message gets its keys at intake, and the route is
decided anew at each attempt, so that a changed setting applies to queued mail: when the key
differs by then, the recipient is moved and claimed again under the right one.

Test mail goes by the smarthost whatever else is set. `[redirect]` changes the address that the next
hop is given, before anything else is decided.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from relayd.mail.address import Address, parse_address

SMARTHOST = "smarthost"
HOLD = "hold"
_MX = "mx:"
_HOST = "host:"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    host: str  # a name, an IPv4 address, or an IPv6 address without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ViaSmarthost:
    """Through the smarthost."""


@dataclass(frozen=True, slots=True)
class ViaMx:
    """To the MX of `domain`, which is in lower case."""

    domain: str


@dataclass(frozen=True, slots=True)
class ViaHost:
    """To a host that a `[routes]` entry names."""

    host: HostPort


@dataclass(frozen=True, slots=True)
class OnHold:
    """Nowhere for now: a `[routes]` entry holds it."""

    pattern: str


Route = ViaSmarthost | ViaMx | ViaHost | OnHold


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """One entry of `[routes]`: mail to `pattern` takes `route`; ViaMx without a domain is "direct"."""

    pattern: str  # "example.org", or "*.example.org" for what lies below it
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRules:
    use_remote_smtp: bool = False
    rules: tuple[RouteRule, ...] = ()  # the first that matches counts
    test_recipients: frozenset[str] = frozenset()  # in lower case
    redirect_to: Address | None = None
    redirect_allow: frozenset[str] = frozenset()  # addresses or domains, in lower case


def has_other_ways(rules: RouteRules) -> bool:
    """Tell whether some mail may go otherwise than by the smarthost."""
    ways = [each.route for each in rules.rules]
    return rules.use_remote_smtp or any(isinstance(way, ViaMx | ViaHost) for way in ways)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A route, and the reason for `relayd route` to tell."""

    route: Route
    reason: str


def decide(address: Address, *, is_test: bool, rules: RouteRules) -> Decision:
    """Return where mail to `address` goes; `address` is the one that `forwarded` gave."""
    domain = address.domain.lower()
    if is_test:
        return Decision(route=ViaSmarthost(), reason="a test mail (X-Relayd-Test: yes)")
    if str(address).lower() in rules.test_recipients:
        return Decision(route=ViaSmarthost(), reason="listed in [test_mail] recipients")
    for rule in rules.rules:
        if matches(domain, rule.pattern):
            route = ViaMx(domain) if isinstance(rule.route, ViaMx) else rule.route
            return Decision(route=route, reason=f'[routes] "{rule.pattern}"')
    if rules.use_remote_smtp:
        return Decision(route=ViaMx(domain), reason="use_remote_smtp = true")
    return Decision(route=ViaSmarthost(), reason="use_remote_smtp = false")


def forwarded(address: Address, rules: RouteRules) -> Address:
    """Return the address that the next hop is given: another one while `[redirect]` is set."""
    if rules.redirect_to is None:
        return address
    allowed = {str(address).lower(), address.domain.lower()} & rules.redirect_allow
    return address if allowed else rules.redirect_to


def matches(domain: str, pattern: str) -> bool:
    """Tell whether a domain, in lower case, is meant by a pattern of `[routes]`."""
    pattern = pattern.lower()
    return domain.endswith(pattern[1:]) if pattern.startswith("*.") else domain == pattern


def key_of(route: Route) -> str:
    """Return the route key, by which the store knows the destination."""
    match route:
        case ViaSmarthost():
            return SMARTHOST
        case ViaMx(domain):
            return f"{_MX}{domain}"
        case ViaHost(host):
            return f"{_HOST}{host}"
        case OnHold():
            return HOLD
        case _:
            assert_never(route)


def route_of(key: str) -> Route | None:
    """Return the route that a key is of; None if it is no route key. Which entry holds mail, a key does not tell."""
    route: Route
    if key in (SMARTHOST, HOLD):
        route = ViaSmarthost() if key == SMARTHOST else OnHold("")
    elif domain := mx_domain_of(key):
        route = ViaMx(domain)
    elif key.startswith(_HOST) and key.rpartition(":")[2].isdecimal():
        route = ViaHost(host_of(key))
    else:
        return None
    return route if key_of(route) == key else None


def key_for(recipient: str, *, is_test: bool, rules: RouteRules) -> str:
    """Return the route key of a recipient as the store has it."""
    address = forwarded(parse_address(recipient), rules)
    return key_of(decide(address, is_test=is_test, rules=rules).route)


@lru_cache(maxsize=256)
def names_of(key: str) -> frozenset[str]:
    """Return the names by which people may call a destination, in lower case: route key, host, domain."""
    names = {key, mx_domain_of(key) or ""}
    if key.startswith(_HOST):
        names |= {host_of(key).host, str(host_of(key))}
    return frozenset(name.lower() for name in names if name)


def mx_domain_of(key: str) -> str | None:
    """Return the domain of a ViaMx key; None for the others."""
    return key.removeprefix(_MX) if key.startswith(_MX) else None


def host_of(key: str) -> HostPort:
    """Return the host of a ViaHost key."""
    host, _, port = key.removeprefix(_HOST).rpartition(":")
    return HostPort(host=host.strip("[]"), port=int(port))

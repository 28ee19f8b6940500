"""Where a recipient goes, and under which key the store keeps that destination.

Leases, limits and pauses are kept by route key. A message gets its keys at intake, and the route is
decided anew at each attempt, so that a changed setting applies to queued mail: when the key
differs by then, the recipient is moved and claimed again under the right one.

Test mail goes by the default smarthost whatever else is set, or by the one that it asks for. `[redirect]` changes the address that the
next hop is given, before anything else is decided. Then the first that fits counts: the recipient
(`[routes]`), the client's login (`[logins]`), its listener, the sender (`[senders]`), and last
`use_remote_smtp`. Where that alone says "directly", the smarthost may stand in for it (`direct.fallback`).
"""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, assert_never

from relayd.mail.address import Address
from relayd.policy.delivery.senders import SenderPatterns

if TYPE_CHECKING:  # questions need none of it
    from relayd.mail.envelope import QueuedMessage

SMARTHOST = "smarthost"
HOLD = "hold"
DEFAULT = "default"
"""The name of the smarthost that `[smarthost]` describes."""
# One of digits alone would be a port: "smarthost:25" is the host of this name.
_NAME = re.compile(r"(?=[0-9-]*[a-z])[a-z0-9][a-z0-9-]{0,39}")
_NAMED = f"{SMARTHOST}:"
_HOST = "host:"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    host: str  # a name, an IPv4 address, or an IPv6 address without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TlsAsked(Enum):
    """What a message asks of TLS on the way to its mail hosts (RFC 8689), with the prefix of its route keys.

    Each has destinations of its own: what a policy refuses holds up no mail that lifts it.
    """

    NOTHING = "mx:"
    LIFTED = "mx-lax:"  # TLS-Required: No. The policies of the recipient's domain do not count
    PROOF = "mx-tls:"  # REQUIRETLS. Only to hosts that prove who they are


_PREFIXES = tuple((each.value, each) for each in TlsAsked)  # `value` is a call up to 3.11


def asked_by(*, requires: bool, lifts: bool) -> TlsAsked:
    """Return what a message asks: who asks for both wants TLS (RFC 8689 §4.1)."""
    if requires:
        return TlsAsked.PROOF
    return TlsAsked.LIFTED if lifts else TlsAsked.NOTHING


@dataclass(frozen=True, slots=True)
class ViaSmarthost:
    """Through the smarthost of this name."""

    name: str = DEFAULT


@dataclass(frozen=True, slots=True)
class ViaMx:
    """To the MX of `domain`, which is in lower case."""

    domain: str
    asks: TlsAsked = TlsAsked.NOTHING


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
class RouteFacts:
    """What a route depends on besides the recipient: whose message it is, as the store keeps it."""

    sender: str | None = None  # the reverse-path, empty if it is null; None: not known
    user: str | None = None  # that its client logged in as
    listener: str = ""  # that took it, as the settings write its address
    is_test: bool = False
    test_via: str = ""  # the smarthost that a test mail asks for
    asks: TlsAsked = TlsAsked.NOTHING


def facts_of(message: "QueuedMessage") -> RouteFacts:
    """Return what the route of a queued message depends on."""
    return RouteFacts(
        sender=message.reverse_path,
        user=message.user,
        listener=message.listener,
        is_test=message.is_test,
        test_via=message.test_via,
        asks=asked_by(requires=message.parameters.requiretls, lifts=message.lifts_tls),
    )


Names = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRules:
    """What routes are decided by. Smarthosts are meant by their names, which all exist."""

    use_remote_smtp: bool = False
    smarthosts: frozenset[str] = (
        frozenset()
    )  # the names of those that there are besides the default
    rules: tuple[RouteRule, ...] = ()  # the first that matches counts
    logins: Names = field(
        default_factory=dict
    )  # the smarthost of each user that has one of its own
    listeners: Names = field(default_factory=dict)  # and of each listener, by its address
    senders: Names = field(default_factory=dict)  # and by patterns of `[senders]`
    sender_patterns: SenderPatterns = field(default_factory=SenderPatterns)  # all of them

    @property
    def may_be_direct(self) -> bool:
        """Some mail at least may go to the recipients' own servers."""
        return self.use_remote_smtp or any(isinstance(each.route, ViaMx) for each in self.rules)

    test_recipients: frozenset[str] = frozenset()  # in lower case
    redirect_to: Address | None = None
    redirect_allow: frozenset[str] = frozenset()  # addresses or domains, in lower case
    falls_back: bool = False  # mail that goes directly by the mode alone may go by the smarthost
    # Domains for which it does so now, in lower case. In a daemon that changes while it runs, alike for all who
    # decide: so nothing is moved to and fro.
    # Where sources are for some senders alone, "DOMAIN from POOL" is the mail of one pool (`diverted_as`).
    diverted: Container[str] = field(default=frozenset(), compare=False)
    pool: Callable[[RouteFacts], str] | None = field(default=None, compare=False)  # whose name


def only_smarthosts(rules: RouteRules) -> frozenset[str]:
    """Return the route keys of the smarthosts that all mail goes by; none if some may go otherwise."""
    ways = [each.route for each in rules.rules]
    if rules.use_remote_smtp or any(isinstance(way, ViaMx | ViaHost) for way in ways):
        return frozenset()
    return frozenset(key_of(ViaSmarthost(name)) for name in (DEFAULT, *named_in(rules)))


def named_in(rules: RouteRules) -> frozenset[str]:
    """Return the names of the smarthosts that some rule sends mail to."""
    routed = {each.route.name for each in rules.rules if isinstance(each.route, ViaSmarthost)}
    others = (rules.logins, rules.listeners, rules.senders)
    return frozenset(routed.union(*(each.values() for each in others)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A route, and what chose it."""

    route: Route
    rule: str = ""  # the entry of the settings, for people; empty: none, so the mode did

    @property
    def reason(self) -> str:
        """Say it for `relayd route`."""
        is_direct = isinstance(self.route, ViaMx)
        return self.rule or f"use_remote_smtp = {'true' if is_direct else 'false'}"

    @property
    def key(self) -> str:
        """The route key."""
        return key_of(self.route)


_BY_DEFAULT = Decision(route=ViaSmarthost())  # of most mail: made once
_FALLS_BACK = Decision(
    route=ViaSmarthost(),
    rule="direct.fallback: its mail hosts are given nothing from our addresses now",
)


def decide(address: Address, facts: RouteFacts, rules: RouteRules) -> Decision:
    """Return where mail to `address` goes; `address` is the one that `forwarded` gave."""
    if facts.is_test and facts.test_via in rules.smarthosts:
        named = f"a test mail (X-Relayd-Test: smarthost:{facts.test_via})"
        return Decision(route=ViaSmarthost(facts.test_via), rule=named)
    if facts.is_test:
        return Decision(route=ViaSmarthost(), rule="a test mail (X-Relayd-Test: yes)")
    if rules.test_recipients and str(address).lower() in rules.test_recipients:
        return Decision(route=ViaSmarthost(), rule="listed in [test_mail] recipients")
    domain = address.domain.lower()
    for rule in rules.rules:
        if matches(domain, rule.pattern):
            is_direct = isinstance(rule.route, ViaMx)
            route = ViaMx(domain, facts.asks) if is_direct else rule.route
            return Decision(route=route, rule=f'[routes] "{rule.pattern}"')
    if (of_message := _by_message(facts, rules)) is not None:
        return of_message
    return _by_mode(domain, facts, rules)


def _by_mode(domain: str, facts: RouteFacts, rules: RouteRules) -> Decision:
    """Return where mail goes of which nothing else says so."""
    if not rules.use_remote_smtp:
        return _BY_DEFAULT
    may_fall_back = rules.falls_back and facts.asks is not TlsAsked.PROOF
    if may_fall_back and (
        domain in rules.diverted or diverted_as(domain, facts, rules) in rules.diverted
    ):
        return _FALLS_BACK
    return Decision(route=ViaMx(domain, facts.asks))


def diverted_as(domain: str, facts: RouteFacts, rules: RouteRules) -> str:
    """Return what the mail of a sender's pool to a domain is called, where that alone goes another way."""
    return domain if rules.pool is None else f"{domain} from {rules.pool(facts)}"


def fallback_of(recipient: Address, facts: RouteFacts, rules: RouteRules) -> Decision | None:
    """Return where mail goes instead, if the mail hosts of the recipient refuse our address; None: nowhere else.

    Never for what a rule sends directly: somebody wants it so. Never for what has to be safe on all of its way.
    """
    if facts.asks is TlsAsked.PROOF:
        return None
    way = way_of(recipient, facts, rules)
    is_by_mode = isinstance(way.route, ViaMx) and not way.rule
    return _FALLS_BACK if rules.falls_back and (is_by_mode or way is _FALLS_BACK) else None


def way_of(recipient: Address, facts: RouteFacts, rules: RouteRules) -> Decision:
    """Return where mail goes to a recipient as the sender wrote it."""
    return decide(forwarded(recipient, rules), facts, rules)


def _by_message(facts: RouteFacts, rules: RouteRules) -> Decision | None:
    """Return where a message goes because of its client or its sender, to all its recipients alike."""
    if facts.user is not None and (name := rules.logins.get(facts.user)):
        return Decision(route=ViaSmarthost(name), rule=f'[logins] "{facts.user}"')
    if name := rules.listeners.get(facts.listener):
        return Decision(route=ViaSmarthost(name), rule=f'[[listen]] "{facts.listener}"')
    if rules.senders and facts.sender is not None:
        pattern = rules.sender_patterns.first_for(facts.sender)
        if pattern is not None and (name := rules.senders.get(pattern)):
            return Decision(route=ViaSmarthost(name), rule=f'[senders] "{pattern}"')
    return None


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
        case ViaSmarthost(name):
            return SMARTHOST if name == DEFAULT else f"{_NAMED}{name}"
        case ViaMx(domain, asks):
            return f"{asks.value}{domain}"
        case ViaHost(host):
            return f"{_HOST}{host}"
        case OnHold():
            return HOLD
        case _:
            assert_never(route)


def route_of(key: str) -> Route | None:
    """Return the route that a key is of; None if it is no route key. Which entry holds mail, a key does not tell."""
    route: Route
    if key == HOLD:
        route = OnHold("")
    elif name := smarthost_of(key):
        route = ViaSmarthost(name)
    elif domain := mx_domain_of(key):
        route = ViaMx(domain, asked_of(key))
    elif key.startswith(_HOST) and key.rpartition(":")[2].isdecimal():
        route = ViaHost(host_of(key))
    else:
        return None
    return route if key_of(route) == key else None


@lru_cache(maxsize=256)
def names_of(key: str) -> frozenset[str]:
    """Return the names by which people may call a destination, in lower case: route key, host, domain."""
    names = {key, mx_domain_of(key) or ""}
    if key.startswith(_HOST):
        names |= {host_of(key).host, str(host_of(key))}
    return frozenset(name.lower() for name in names if name)


def smarthost_of(key: str) -> str | None:
    """Return the name of the smarthost that a key is of; None for the others."""
    if key == SMARTHOST:
        return DEFAULT
    name = key.removeprefix(_NAMED)
    return name if name != key and is_smarthost_name(name) else None


def table_of(name: str) -> str:
    """Return the table of the settings that describes a smarthost."""
    return SMARTHOST if name == DEFAULT else f"smarthosts.{name}"


def is_smarthost_name(name: str) -> bool:
    """Tell whether a smarthost may have this name."""
    return _NAME.fullmatch(name) is not None


def mx_domain_of(key: str) -> str | None:
    """Return the domain of a ViaMx key; None for the others."""
    prefix = asked_of(key).value
    return key.removeprefix(prefix) if key.startswith(prefix) else None


def asked_of(key: str) -> TlsAsked:
    """Return what the mail of a destination asks of TLS."""
    for prefix, asked in _PREFIXES:
        if key.startswith(prefix):
            return asked
    return TlsAsked.NOTHING


def host_of(key: str) -> HostPort:
    """Return the host of a ViaHost key."""
    host, _, port = key.removeprefix(_HOST).rpartition(":")
    return HostPort(host=host.strip("[]"), port=int(port))

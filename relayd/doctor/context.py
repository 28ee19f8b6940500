"""What every check is given: the settings, what the operator asks about, and the way to ask."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address

from relayd.mail.dns import IpAddress
from relayd.net.dns.resolver import DnsResolver
from relayd.net.local import source_towards
from relayd.policy.doctor.dns import why_not_public
from relayd.policy.doctor.finding import Finding
from relayd.ports.outward import Clock
from relayd.settings import HostPort, Settings

_LOOKUP_TIMEOUT = timedelta(seconds=10)  # people wait for many of them
# Root name servers: addresses that the whole internet is on the way to. Nothing is sent there.
_FAR_AWAY = ("198.41.0.4", "2001:503:ba3e::2:30")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """What the operator asks about; domains are A-labels."""

    direct: bool = False  # also where the settings do not turn it on
    quick: bool = False  # no network but the DNS of our own name and addresses
    domains: tuple[str, ...] = ()  # of senders
    selectors: tuple[str, ...] = ()  # of DKIM keys
    reach: tuple[HostPort, ...] = ()  # hosts to try port 25 with
    addresses: tuple[IpAddress, ...] = ()  # of ours, as receivers see them


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """One round of checks."""

    settings: Settings
    request: CheckRequest
    clock: Clock
    dns: DnsResolver
    local: tuple[IpAddress, ...]  # what we would send from

    @property
    def lookup_timeout(self) -> timedelta:
        """How long one question to the DNS may take."""
        return _lookup_timeout(self.settings)

    @property
    def is_direct(self) -> bool:
        return self.request.direct or sends_directly(self.settings)

    @property
    def sources(self) -> tuple[IpAddress, ...]:
        """Our addresses as receivers see them, as far as that is known."""
        return self.request.addresses or self.local

    @property
    def public(self) -> tuple[IpAddress, ...]:
        """Those of them that can be asked about."""
        return tuple(ip for ip in self.sources if not why_not_public(ip))


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work, with the words for those who wait for it."""

    words: str
    run: Callable[[], Awaitable[Sequence[Finding]]]


def context_of(settings: Settings, request: CheckRequest, clock: Clock) -> CheckContext:
    """Return the context of a new round of checks: it remembers no answer of the DNS."""
    return CheckContext(
        settings=settings,
        request=request,
        clock=clock,
        dns=DnsResolver(
            nameservers=settings.dns.nameservers,
            timeout=_lookup_timeout(settings),
            clock=clock,
            trusted=settings.dns.trusted,
        ),
        local=_local_addresses(settings),
    )


def sends_directly(settings: Settings) -> bool:
    """Some mail at least goes to the recipients' own servers."""
    return settings.routes.may_be_direct


def _lookup_timeout(settings: Settings) -> timedelta:
    return min(settings.dns.timeout, _LOOKUP_TIMEOUT)


def _local_addresses(settings: Settings) -> tuple[IpAddress, ...]:
    chosen = tuple(ip_address(each) for each in settings.direct.source_addresses)
    if chosen:
        return chosen
    versions = {family.version for family in settings.direct.families}
    far = [each for each in map(ip_address, _FAR_AWAY) if each.version in versions]
    found = [source_towards(each) for each in far]
    return tuple(ip for ip in found if ip is not None)

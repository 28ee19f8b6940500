"""Choose which of our addresses the servers of a site see, and by which families we reach them.

Owns the choice, not the binding. A receiver that greylists knows a mail by the address it comes
from: if the next attempt came from another one, it would begin anew. So one site sees one source in
every attempt, from every worker, after every restart, as long as that source can be used.

Sources may be for some senders alone. Those of one sender are its pool, and a site sees one of each
pool. A pool is never widened: mail of these senders leaves by their sources, or waits.

The choice is a rendezvous hash: each source has a rank of its own at each site, and the highest one
is taken. A source more or less moves only the sites that it gains or loses. Source: RFC 6647 §5
(greylisting by address).
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from relayd.mail.dns import IpAddress
from relayd.policy.delivery.route import RouteFacts
from relayd.policy.delivery.senders import compared, fitting

SHORT_FORM = "direct.source_addresses"
"""The setting that names sources by their addresses alone; the other one is `direct.source`."""


class IpFamily(StrEnum):
    IPV4 = "ipv4"
    IPV6 = "ipv6"

    @property
    def version(self) -> int:
        """The number that `ipaddress` gives it."""
        return int(self[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An address of ours to send from."""

    address: str
    helo: str = ""  # what we call ourselves there; empty: `fqdn`
    senders: tuple[str, ...] = ()  # patterns as of `[senders]`, or logins; none: everybody


def pool_of(sources: Sequence[Source], facts: RouteFacts) -> tuple[Source, ...]:
    """Return the sources that mail of a sender leaves by.

    Those that name its reverse-path or its login; if none does, those that are for everybody.
    """
    if not any(each.senders for each in sources):
        return tuple(sources)
    names = frozenset() if facts.sender is None else frozenset(fitting(facts.sender))
    own = [
        each
        for each in sources
        if facts.user in each.senders or not names.isdisjoint(map(compared, each.senders))
    ]
    return tuple(own or (each for each in sources if not each.senders))


def pool_named(sources: Sequence[Source], facts: RouteFacts) -> str:
    """Return what the pool of a sender is called where there are several: its addresses."""
    return ", ".join(each.address for each in pool_of(sources, facts))


def unused_families(
    families: Collection[IpFamily], sources: Collection[str], named_by: str = SHORT_FORM
) -> Mapping[int, str]:
    """Return the IP versions that nothing is sent by, each with the setting that leaves it out.

    `named_by` is the setting that names the sources. Without a source of a family the system would choose one, which the operator did not name.
    """
    unused = {
        each.version: named_by
        for each in IpFamily
        if sources and all(ip_address(source).version != each.version for source in sources)
    }
    return unused | {each.version: "direct.families" for each in IpFamily if each not in families}


def pick_source(
    site: str,
    to: IpAddress,
    sources: Iterable[str],
    *,
    resting: Collection[str] = (),
) -> str | None:
    """Return the one of `sources` that a site sees; None: the system chooses.

    `site` is its key, and `to` is the address to connect to: only sources of its family count. One that is `resting` is taken only if all of them are: mail never
    leaves by an address that the operator did not name.
    """
    return max(
        (source for source in sources if ip_address(source).version == to.version),
        key=lambda source: (source not in resting, _rank(site, source)),
        default=None,
    )


def _rank(site: str, source: str) -> bytes:
    return hashlib.sha256(f"{source}\n{site}".encode()).digest()

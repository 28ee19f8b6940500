"""The values of a filter that the queue has at all, each found by one look into an index.

There are few clients and hosts beside the mail that they hand in or take, so what is asked for by a network
or by a name becomes the values that are in it.
"""

from collections.abc import Collection, Iterator, Sequence

import apsw

from relayd.policy.delivery.route import TlsAsked, ViaMx, key_of, names_of
from relayd.policy.intake.admit import is_among
from relayd.store.networks import END, Network, heads_of
from relayd.store.sqlite.values import fetch

# One value after the other, from :low on and below :high.
_VALUES = (
    "WITH RECURSIVE wanted (value) AS ("
    "SELECT min({0}) FROM {1} INDEXED BY {2} WHERE {0} >= :low AND {0} < :high"
    " UNION ALL SELECT (SELECT min({0}) FROM {1} INDEXED BY {2} WHERE {0} > wanted.value AND {0} < :high)"
    " FROM wanted WHERE wanted.value IS NOT NULL)"
    " SELECT value FROM wanted WHERE value IS NOT NULL"
)
_CLIENTS = _VALUES.format("client_ip", "message", "message_by_client")
_DESTINATIONS = _VALUES.format("destination", "recipient", "recipient_by_destination")


def clients(db: apsw.Connection, networks: Sequence[Network]) -> list[str]:
    """Return the addresses of clients in the networks, as messages have them."""
    found: set[str] = set()
    for network in networks:
        heads, is_exact = heads_of(network)
        values = (value for head in heads for value in _behind(db, _CLIENTS, head))
        found.update(value for value in values if is_exact or is_among(value, [network]))
    return sorted(found)


def destinations(db: apsw.Connection, names: Collection[str]) -> list[str]:
    """Return the route keys that go by the names."""
    wanted = {name.lower() for name in names}
    hosts = [key for key in _behind(db, _DESTINATIONS, "host:") if wanted & names_of(key)]
    domains = {key_of(ViaMx(name, asks)) for name in wanted for asks in TlsAsked}
    return sorted({*wanted, *domains, *hosts})


def _behind(db: apsw.Connection, sql: str, head: str) -> Iterator[str]:
    for (value,) in fetch(db, sql, {"low": head, "high": head + END}):
        yield value

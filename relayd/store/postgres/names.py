"""What people call clients and destinations, as the values that the store has of it.

There are few of them beside the mail that they hand in or take: each is found by one look into an index.
"""

from collections.abc import Collection, Sequence

from relayd.policy.delivery.route import TlsAsked, ViaMx, key_of, names_of
from relayd.policy.intake.admit import is_among
from relayd.store.networks import END, Network, heads_of
from relayd.store.postgres.line import Session

# One value after the other, from $1 on and below $2.
_VALUES = (
    "WITH RECURSIVE wanted (value) AS ("
    "(SELECT {0} FROM {1} WHERE {0} >= $1 AND {0} < $2 ORDER BY {0} LIMIT 1)"
    " UNION ALL SELECT (SELECT {0} FROM {1} WHERE {0} > wanted.value AND {0} < $2 ORDER BY {0} LIMIT 1)"
    " FROM wanted WHERE wanted.value IS NOT NULL)"
    " SELECT value FROM wanted WHERE value IS NOT NULL"
)
_CLIENTS = _VALUES.format("client_ip", "message")
_OF_MAIL = _VALUES.format("destination", "recipient")
_OF_QUEUE = _VALUES.format("destination", "queue")


async def clients(db: Session, networks: Collection[Network]) -> Sequence[str]:
    """Return the addresses of clients in the networks, as messages have them."""
    found: set[str] = set()
    for network in networks:
        heads, is_exact = heads_of(network)
        for head in heads:
            values = [value for (value,) in await db.fetch(_CLIENTS, head, head + END)]
            found.update(value for value in values if is_exact or is_among(value, [network]))
    return sorted(found)


async def destinations(db: Session, names: Collection[str]) -> Sequence[str]:
    """Return the route keys that go by the names."""
    if not names:
        return ()
    wanted = {name.lower() for name in names}
    hosts = {
        key
        for sql in (_OF_MAIL, _OF_QUEUE)
        for (key,) in await db.fetch(sql, "host:", "host:" + END)
        if wanted & names_of(key)
    }
    domains = {key_of(ViaMx(name, asks)) for name in wanted for asks in TlsAsked}
    return sorted({*wanted, *domains, *hosts})

"""Mail of a network's clients, looked for among the newest mail first.

A network may have thousands of clients, and to look up which those are takes some 5 µs for each. Who asks for its mail
mostly finds a page of it among the newest messages, where addresses are only compared with how those of the
network begin.
"""

from dataclasses import replace

import apsw

from relayd.mail.ids import MessageId
from relayd.ports.view import Query
from relayd.store.sqlite.distinct import END, Network, heads_of
from relayd.store.sqlite.paths import span
from relayd.store.sqlite.values import fetch

Key = tuple[MessageId, int]

_LOOKED_AT = 8000  # messages: 5 ms
_MOST_HEADS = 16


def newest(db: apsw.Connection, query: Query, *, limit: int, before: Key | None) -> list[Key]:
    """Return the next that match; none unless the newest mail has `limit` of them, or where more is asked for."""
    ranges = [each for network in query.client for each in _ranges(network)]
    is_asked_alone = replace(query, client=(), since=None, until=None) == Query()
    if not ranges or not is_asked_alone or not all(map(_ranges, query.client)):
        return []
    low, high = span(query)
    edge, known = before or (high, -1)
    if edge > high:
        edge, known = high, -1
    is_in_network = " OR ".join(["wanted.client_ip >= ? AND wanted.client_ip < ?"] * len(ranges))
    keys = fetch(
        db,
        "SELECT wanted.id, r.number FROM (SELECT id, client_ip FROM message NOT INDEXED"  # noqa: S608 -- constants
        " WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?) AS wanted"
        f" CROSS JOIN recipient AS r ON r.message_id = wanted.id WHERE ({is_in_network})"
        " AND (wanted.id < ? OR r.number > ?) ORDER BY wanted.id DESC, r.number LIMIT ?",
        (low, edge, _LOOKED_AT, *(end for each in ranges for end in each), edge, known, limit),
    )
    return [(MessageId(each), number) for each, number in keys] if len(keys) == limit else []


def _ranges(network: Network) -> list[tuple[str, str]]:
    """Return between which texts all addresses of a network are, and no others; none if that cannot be said."""
    if network.prefixlen == network.max_prefixlen:
        return []  # one client has an index
    found, is_exact = heads_of(network)
    if not is_exact or len(found) > _MOST_HEADS:
        return []
    return [(head, head + END) for head in found]

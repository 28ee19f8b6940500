"""What a worker's descriptors are for: clients, outward connections, and all else it opens.

Pure arithmetic. Without it either side would take what the other needs, and what then fails is chance.
"""

from dataclasses import dataclass

# Log, queue and listening sockets (30), DNS questions (100), control socket and metrics (64), content
# files that are being read or written, checkers, and some to spare. Of few descriptors half.
_KEPT = 256
_MOST_SERVERS = (
    2000  # a worker has a thousand messages in hand; the others wait idle for more, and take memory
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Connections that a worker may have open."""

    clients: int
    servers: int


def share_out(descriptors: int, clients: int) -> Shares:
    """Return what there may be of each with so many descriptors, of `clients` that the settings allow.

    Clients get all that they may have if half of the descriptors, or all but what the other side
    needs at most, are enough for them; the outward side gets the rest, up to its most. At least 1 each.
    """
    left = descriptors - min(_KEPT, descriptors // 2)
    clients = min(clients, max(left // 2, left - _MOST_SERVERS, 1))
    return Shares(clients=clients, servers=max(1, min(_MOST_SERVERS, left - clients)))

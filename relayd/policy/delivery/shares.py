"""What one worker may use of a limit that holds for all workers together.

Each has an equal part of it, and what is left over goes to the first of them. So all parts together are the limit,
exactly, and a part never grows when a worker joins. A limit that is smaller than their number is scarce: some have
no part of it, and who needs some asks the store (`relayd.policy.delivery.scarce`).
"""

from typing import NamedTuple


class Part(NamedTuple):
    """Which of the workers that share the limits one of them is."""

    rank: int  # from 0, in an order that all go by
    members: int  # 0: the others do not count it yet, so it has no part of anything

    @property
    def is_counted(self) -> bool:
        return self.members > 0


ALONE = Part(0, 1)
NOTHING = Part(0, 0)


def share_of(limit: int, part: Part) -> int:
    """Return what a worker has of a limit; 0 where it has no part."""
    if not part.is_counted:
        return 0
    each, left_over = divmod(limit, part.members)
    return each + (part.rank < left_over)


def is_scarce(limit: int, part: Part) -> bool:
    """Tell whether there are more workers than a limit has parts for."""
    return limit < part.members


def slots_of(connections: int, workers: int) -> int:
    """Return how many of the workers may send by a smarthost at once: each needs a connection."""
    return min(connections, workers)

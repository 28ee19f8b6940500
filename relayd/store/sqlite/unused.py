"""How much of the queue file holds nothing any more: what a purge gave back, and rows to come can have.

The disk does not tell: the file stays as long as it is until `relayd store compact` makes it shorter.
"""

import apsw

from relayd.ports.outward import Clock

_LOOK_AGAIN = 1.0  # seconds


class Unused:
    """The octets, as of a transaction of this process: workers have one each second at least."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = float("-inf")
        self.octets = 0

    def look(self, db: apsw.Connection) -> None:
        """Look again, inside a transaction, when it is time."""
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_AGAIN:
            self._looked_at = now
            pages: int = db.execute("PRAGMA freelist_count").get
            self.octets = pages * db.execute("PRAGMA page_size").get

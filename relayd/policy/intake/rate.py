"""How often one client may connect.

Owns the arithmetic: no clock; bounded memory. Instants are seconds of a clock that never goes back.
Many connections at once are no sign of malice, as when a server brings the bounces of a mailing; many
of them for long are. Source: semantics A-09.
"""

AT_ONCE = 200  # connections that a client may open without a pause: twice what it may have
PER_SECOND = 10.0  # and from then on: 600 a minute is more than one server's bounces
MOST_CLIENTS = 10_000  # that are remembered, about 2 MB; who came least lately is forgotten


class Rate:
    """What clients have used up of that."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}  # and when; the least recent first

    def __len__(self) -> int:
        return len(self._used)

    def is_kept_by(self, client: str, *, now: float) -> bool:
        """Count a connection; False: it is one too many, and does not count."""
        used, at = self._used.pop(client, (0.0, now))
        used = max(0.0, used - (now - at) * PER_SECOND)
        is_kept = used + 1 <= AT_ONCE
        self._used[client] = (used + is_kept, now)
        if len(self._used) > MOST_CLIENTS:
            del self._used[next(iter(self._used))]
        return is_kept

    def give_back(self, client: str) -> None:
        """Let a connection that was counted not count: it is another client's after all."""
        if client in self._used:
            used, at = self._used[client]
            self._used[client] = (max(0.0, used - 1), at)

"""From where an account was logged in to lately: all workers of a daemon know, also after a reload.

Owns the table: a fixed number of cells, in memory that the workers share (the supervisor makes it). An
account has its own few cells, so nobody's sources push out those of others. A cell is 8 octets, written
whole: a keyed digest of account and host, and the instant. No lock: two at once may lose one of them.
"""

from hashlib import blake2b
from mmap import mmap

KNOWN_FOR = 86_400  # seconds
_ACCOUNTS = 2_048  # rows; rarely two accounts have the same one
_HOSTS = 64  # of an account, the latest ones
OCTETS = _ACCOUNTS * _HOSTS * 8
"""How much memory the table needs."""
_INSTANT = (1 << 32) - 1  # the lower half of a cell: seconds, never 0


class KnownSources:
    """`key` is the same in all workers, and nobody else's; `octets` are the memory, all 0 at first."""

    def __init__(self, key: bytes, octets: bytearray | memoryview | mmap) -> None:
        self._key = key
        self._cells = memoryview(octets).cast("Q")

    def has(self, user: str, host: str, *, now: float) -> bool:
        """Tell whether the user logged in from the host within a day; `now` is monotonic, in seconds."""
        row, mark = self._row(user), self._mark(user, host)
        return any(
            cell >> 32 == mark and now - (cell & _INSTANT) < KNOWN_FOR
            for cell in self._cells[row : row + _HOSTS]
        )

    def add(self, user: str, host: str, *, now: float) -> None:
        """Remember it, in the place that it has, or else that of the longest ago."""
        row, mark = self._row(user), self._mark(user, host)
        place = min(
            range(row, row + _HOSTS),
            key=lambda index: (self._cells[index] >> 32 != mark, self._cells[index] & _INSTANT),
        )
        self._cells[place] = mark << 32 | int(now) + 1

    def _row(self, user: str) -> int:
        return self._digest(user) % _ACCOUNTS * _HOSTS

    def _mark(self, user: str, host: str) -> int:
        return self._digest(f"{user}\0{host}")

    def _digest(self, text: str) -> int:
        return int.from_bytes(blake2b(text.encode(), key=self._key, digest_size=4).digest())

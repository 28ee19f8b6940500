"""How many messages a login or a network may hand over in a minute, an hour and a day.

Owns the arithmetic and the table of what was counted: memory that all workers of a daemon share, which the
supervisor makes. Who calls holds the lock of the table meanwhile.

The times slide, as `relayd.policy.sliding` says. What is counted is in a ring of steps. A cell is 8 octets, written whole: the number of its step, and how many messages.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from mmap import mmap

from relayd.mail.reply import Reply
from relayd.policy.intake.access import Networks
from relayd.policy.intake.origin import Origin
from relayd.policy.sliding import RING, room_of, step_of

REACHED = Reply(450, "4.7.1", ("4.7.1 Message limit reached",))
_TIMES = (60, 3600, 86_400)  # seconds
_ROWS = 1024  # of logins and networks
_ROW = 1 + RING * len(_TIMES)  # cells: whose it is, then the rings
OCTETS = _ROWS * _ROW * 8
"""How much memory the table needs, all 0 at first."""
_COUNT = (1 << 32) - 1  # the lower half of a cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Messages that may be handed over; 0: any number."""

    per_minute: int = 0
    per_hour: int = 0
    per_day: int = 0

    @property
    def most(self) -> tuple[int, int, int]:
        """How many in each of the times."""
        return self.per_minute, self.per_hour, self.per_day


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRules:
    """The quotas of logins and networks. Who has several keeps to all of them."""

    logins: Mapping[str, Quota] = field(default_factory=dict)
    networks: Networks = field(default_factory=Networks)
    in_network: Mapping[str, Quota] = field(default_factory=dict)

    @property
    def are_set(self) -> bool:
        return bool(self.logins or self.in_network)

    def for_client(self, origin: Origin, user: str | None) -> Sequence[tuple[str, Quota]]:
        """Return the quotas of a client, each with the name under which it is counted."""
        return [*self._of(origin, user)]

    def _of(self, origin: Origin, user: str | None) -> Iterator[tuple[str, Quota]]:
        if user is not None and (of_login := self.logins.get(user)):
            yield f"login {user}", of_login
        if self.in_network:
            name = self.networks.name_for(origin) or ""
            if of_network := self.in_network.get(name):
                yield f"network {name}", of_network


def refusal_until(ends: float, *, now: float, at: datetime) -> Reply:
    """Return how mail is refused until an instant; `now` and `at` are the same moment on both clocks."""
    goes_on = at + timedelta(seconds=ends - now + 1)  # a whole second, and none too early
    return replace(REACHED, lines=(f"{REACHED.lines[0]}, more at {goes_on:%Y-%m-%d %H:%M:%S} UTC",))


def is_quota(refusal: Reply) -> bool:
    """Tell whether a refusal is no mistake of the client's, but a quota."""
    return refusal.code == REACHED.code and refusal.lines[0].startswith(REACHED.lines[0])


class QuotaTable:
    """What was counted; `octets` are the memory. All instants are monotonic, in seconds."""

    def __init__(self, octets: bytearray | mmap) -> None:
        self._cells = memoryview(octets).cast("Q")

    def full_until(self, quotas: Sequence[tuple[str, Quota]], now: float) -> float | None:
        """Return when one more message may come at the earliest; None: at once."""
        ends = [
            until
            for name, quota in quotas
            for place, most in enumerate(quota.most)
            if most and (until := self._full_until(self._row(name), place, most, now)) is not None
        ]
        return max(ends, default=None)

    def add(self, quotas: Sequence[tuple[str, Quota]], now: float, messages: int = 1) -> None:
        """Count messages that came at an instant; -1 takes one back that was counted then."""
        for name, _ in quotas:
            row = self._row(name)
            for place, seconds in enumerate(_TIMES):
                step = step_of(seconds, now)
                at = row + 1 + place * RING + step % RING
                cell = self._cells[at]
                if cell >> 32 != step:
                    cell = step << 32
                self._cells[at] = max(step << 32, cell + messages)

    def _full_until(self, row: int, place: int, most: int, now: float) -> float | None:
        start = row + 1 + place * RING
        used = sorted((cell >> 32, cell & _COUNT) for cell in self._cells[start : start + RING])
        left, ends = room_of(used, most, seconds=_TIMES[place], now=now)
        return None if left else ends

    def _row(self, name: str) -> int:
        """Return where the cells of a name are. Beyond the last row two names share one, and are counted together."""
        digest = int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
        mark = digest or 1
        for number in range(_ROWS):
            row = (digest + number) % _ROWS * _ROW
            if self._cells[row] == 0:
                self._cells[row] = mark
            if self._cells[row] == mark:
                return row
        return digest % _ROWS * _ROW

"""The workers that share the limits with this one."""

from collections.abc import Callable
from dataclasses import dataclass

from relayd.ports.membership import Others

_STRANGER = 1000  # as many workers leave one connection to each


@dataclass(frozen=True, slots=True)
class DaemonMembership:
    """`relayd.ports.membership.Membership` of one daemon on one machine.

    It has as many workers as the settings say, and a reload replaces them all: their number never
    changes. While the old ones end they are not counted, so the limits hold for each set alone.
    """

    workers: int

    def watch(self, on_change: Callable[[int], None]) -> None:
        on_change(self.workers)


class SharedMembership:
    """`relayd.ports.membership.Membership` of machines that share a store, which tells who else is alive.

    Invariant: what all may use together is never above the limit, but for what was open when a share got smaller.
    So who joins uses next to nothing until all the others have counted it. Who dies keeps its share until its leases
    end. Of this machine all workers of the settings count, as in `DaemonMembership`.
    """

    def __init__(self, workers: int) -> None:
        self._own = workers
        self._number = workers
        self._watching: list[Callable[[int], None]] = []

    def watch(self, on_change: Callable[[int], None]) -> None:
        self._watching.append(on_change)
        on_change(self._number)

    def tell(self, others: Others) -> None:
        """Take over what the store says."""
        number = self._own + others.workers if others.know_us else _STRANGER
        if number != self._number:
            self._number = number
            for on_change in self._watching:
                on_change(number)

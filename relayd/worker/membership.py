"""The workers that share the limits with this one."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DaemonMembership:
    """`relayd.ports.membership.Membership` of one daemon on one machine.

    It has as many workers as the settings say, and a reload replaces them all: their number never
    changes. While the old ones end they are not counted, so the limits hold for each set alone.
    """

    workers: int

    def watch(self, on_change: Callable[[int], None]) -> None:
        on_change(self.workers)

"""The workers that share the limits with this one."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from relayd.policy.delivery.shares import NOTHING, Part
from relayd.ports.membership import Others

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DaemonMembership:
    """`relayd.ports.membership.Membership` of one daemon on one machine.

    It has as many workers as the settings say, and a reload replaces them all: their number never
    changes. While the old ones end they are not counted, so the limits hold for each set alone.
    """

    workers: int
    place: int = 0  # of this one among them, from 0

    def watch(self, on_change: Callable[[Part], None]) -> None:
        on_change(Part(self.place, self.workers))


class SharedMembership:
    """`relayd.ports.membership.Membership` of machines that share a store, which tells who else is alive.

    Invariant: who has a part of the limits is counted by all others that have one. So all parts together are never
    above a limit, but for what was open when a part got smaller. Who joins has none until all the others have counted
    it, and what they had open had some time to end; but who takes the place of one that was killed has its part. Who dies keeps its part until its leases end. Of this machine all
    workers of the settings count, as in `DaemonMembership`.
    """

    def __init__(self, workers: int, place: int = 0) -> None:
        self._own = workers
        self._place = place
        self._part = NOTHING
        self._others: int | None = None  # before it heard of them
        self._were_told = True  # all others had counted this one when it last heard of them
        self._watching: list[Callable[[Part], None]] = []

    def watch(self, on_change: Callable[[Part], None]) -> None:
        self._watching.append(on_change)
        on_change(self._part)

    def tell(self, others: Others) -> None:
        """Take over what the store says."""
        self._log(others.workers)
        is_counted = others.know_us and (self._were_told or not others.workers)
        self._were_told = others.know_us
        part = NOTHING
        if is_counted:
            part = Part(others.before + self._place, self._own + others.workers)
        if part != self._part:
            self._part = part
            for on_change in self._watching:
                on_change(part)

    def _log(self, others: int) -> None:
        before, self._others = self._others, others
        if before is None:
            return
        if others > before:
            log.info("others_joined", workers=others, before=before)
        elif others < before:
            log.warning("others_gone", workers=others, before=before)

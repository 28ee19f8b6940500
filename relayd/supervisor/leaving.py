"""The workers that leave: those of earlier settings, which let their clients finish.

Owns how many sets of them there are at one time. Each set is as many processes as the daemon has
workers, so a set for every reload of many in a row would fill the machine. When there is no room for
another, the oldest is asked to hurry: its idle clients leave at once, and a message on its way in
keeps the time that it has anyway.
"""

import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from relayd.sockets import port_of
from relayd.supervisor.generation import report_end
from relayd.supervisor.processes import Worker

AT_ONCE = 2  # sets; beside the one that serves and one that comes up, so four times the workers

log = structlog.get_logger()


@dataclass(slots=True)
class _Set:
    """Workers that were retired together."""

    workers: list[Worker]
    addresses: Collection[str]
    hurried: bool = False

    def hurry(self) -> None:
        self.hurried = True
        for worker in self.workers:
            worker.signal(signal.SIGTERM)


class Leaving:
    """All of them, the oldest set first."""

    def __init__(self) -> None:
        self._sets: list[_Set] = []

    @property
    def workers(self) -> list[Worker]:
        return [worker for each in self._sets for worker in each.workers]

    def add(
        self,
        workers: Sequence[Worker],
        deadline: float,
        *,
        for_others: bool,
        addresses: Collection[str] = (),
    ) -> None:
        """Have `workers`, who listen on those addresses, leave until `deadline`, as `Worker.retire` says."""
        for worker in workers:
            worker.retire(deadline, for_others=for_others)
        if workers:
            self._sets.append(_Set([*workers], addresses))

    def may_hold(self, address: str) -> bool:
        """Tell whether some may listen there still, or on that port by another name. They let go as soon as they hear that they are to leave."""
        port, others = port_of(address), [other for each in self._sets for other in each.addresses]
        return address in others or (bool(port) and port in map(port_of, others))

    def take_clients(self) -> bool:
        """Tell whether some may still take a client, to whom the settings before apply."""
        return any(worker.ready and not worker.let_go for worker in self.workers)

    def make_room(self) -> bool:
        """Tell whether another set may come up; if not, see that one may soon."""
        if len(self._sets) < AT_ONCE:
            return True
        oldest = self._sets[0]
        if not oldest.hurried:
            log.info("reload_waits", workers=len(oldest.workers))
            oldest.hurry()
        return False

    def stop(self, deadline: float) -> None:
        """Have all of them end until `deadline`: the whole daemon stops."""
        for worker in self.workers:
            worker.stop(deadline)

    def reap(self, now: float) -> None:
        """Forget those that have ended."""
        for each in self._sets:
            for worker in list(each.workers):
                if (code := worker.reap()) is not None:
                    each.workers.remove(worker)
                    report_end(worker, code, now=now)
        self._sets = [each for each in self._sets if each.workers]

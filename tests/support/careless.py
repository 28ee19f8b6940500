"""A relayd that does not look after its leases, for a control: `python -m tests.support.careless relayd ARGUMENT...`.

It believes that it has them for ever, and goes on when the store says of a result that the lease is lost. What is wrong
with that shows when it was stopped for longer than a lease lasts.
"""

import runpy
import sys
from collections.abc import Sequence

from relayd.deliverer.destination_queue import DestinationQueue
from relayd.deliverer.leases import Leases
from relayd.deliverer.results import ResultStore
from relayd.mail.envelope import NewMessage
from relayd.ports.queue import Settlement, Work

_settle = ResultStore.settle


async def _holds(_leases: Leases, queue: DestinationQueue) -> bool:
    return not queue.is_closed


async def _extend(_leases: Leases) -> None:
    pass


async def _settle_or_go_on(
    results: ResultStore,
    work: Work,
    settlements: Sequence[Settlement],
    reports: Sequence[NewMessage] = (),
) -> Sequence[Settlement]:
    return await _settle(results, work, settlements, reports) or []


if __name__ == "__main__":
    Leases.holds = _holds  # type: ignore[assignment,method-assign]
    Leases._extend = _extend  # type: ignore[assignment,method-assign]
    ResultStore.settle = _settle_or_go_on  # type: ignore[assignment,method-assign]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

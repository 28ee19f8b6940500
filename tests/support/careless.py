"""A relayd that does not look after its leases, for a control: `python -m tests.support.careless relayd ARGUMENT...`.

It believes that it has them for ever, and never hears that it lost one. What is wrong with that shows when it was stopped for
longer than a lease lasts.
"""

import runpy
import sys

from relayd.deliverer.destination_queue import DestinationQueue
from relayd.deliverer.leases import Leases


async def _holds(_leases: Leases, queue: DestinationQueue) -> bool:
    return not queue.is_closed


async def _extend(_leases: Leases) -> None:
    pass


if __name__ == "__main__":
    Leases.holds = _holds  # type: ignore[assignment,method-assign]
    Leases._extend = _extend  # type: ignore[assignment,method-assign]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

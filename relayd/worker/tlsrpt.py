"""TLS reports for a worker: what it counts is added to the store."""

import asyncio

from relayd.deliverer.tally import TlsTally
from relayd.worker.parts import Parts

_ADDED = 60.0  # seconds between two times: a crash loses no more


async def keep_counting(tally: TlsTally, parts: Parts) -> None:
    """Add what was counted to the store, a write a minute. Raises StoreBroken."""
    while True:
        await asyncio.sleep(_ADDED + parts.worker % 8)
        await tally.flush()

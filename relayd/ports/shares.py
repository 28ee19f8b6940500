"""Shares of limits that are smaller than the number of workers: who needs one asks for it.

Each verb is one transaction, may be repeated, and may raise what `relayd.ports.queue` says. A share is over a minute
after it was asked for the last time, and a wish after ten seconds: so a worker that dies holds nobody up for longer.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from relayd.mail.ids import WorkerNumber
from relayd.policy.delivery.scarce import Claim


class Shares(Protocol):
    """A part of `relayd.ports.queue.QueueStore`."""

    async def ask(
        self, worker: WorkerNumber, keys: Collection[str], *, limit: int
    ) -> Mapping[str, Claim]:
        """Want a share of each of these limits, and keep what there is; return what the worker has of each by now."""
        ...

    async def give_back(self, worker: WorkerNumber, keys: Collection[str]) -> None:
        """Have and want nothing more of these."""
        ...

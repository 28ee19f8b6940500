"""Shares of scarce limits on a plain dict."""

from collections.abc import Collection, Mapping

from relayd.mail.ids import WorkerNumber
from relayd.policy.delivery.scarce import Claim
from relayd.ports.outward import Clock
from relayd.store.shares import Row, asked, claims

ShareTable = dict[tuple[str, int], Row]
"""By limit and worker."""


class MemoryShares:
    """`relayd.ports.shares.Shares`."""

    def __init__(self, rows: ShareTable, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def ask(
        self, worker: WorkerNumber, keys: Collection[str], *, limit: int
    ) -> Mapping[str, Claim]:
        now = int(self._clock.monotonic() * 1000)
        alive = [row for row in self._rows.values() if row.ends_at > now]
        found = asked(alive, keys, worker=worker, limit=limit, now=now)
        self._rows.update({(key, worker): row for key, row in found.items()})
        return claims(found)

    async def give_back(self, worker: WorkerNumber, keys: Collection[str]) -> None:
        for key in keys:
            self._rows.pop((key, worker), None)

    def forget(self, workers: Collection[WorkerNumber]) -> None:
        """Delete what dead workers had."""
        for key, worker in [each for each in self._rows if each[1] in workers]:
            del self._rows[key, worker]

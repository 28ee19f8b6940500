"""Who has how many clients: workers that accept from the same sockets share them evenly.

Whichever worker is awake would take a whole burst, and keep it for as long as those clients stay,
while its neighbours sleep. So each says in shared memory how many clients it has, and one that has
more than another lets that one go first (`accept`).

A cell is 8 octets, written whole, by the worker of that name alone; by the supervisor before that
worker is there, and after its end. No lock: a number may be a moment old, and then somebody takes one
client more.
"""

import mmap
from collections.abc import Collection

_PLACES = 1024  # names in use at one time, all generations of a reload together
_NEVER, _CLOSED, _OPEN = 0, 1, 2  # what a cell says: `_OPEN` and the number of clients
_MORE = 2  # clients that one may have more than another


class AcceptShare:
    """How many clients one worker has. It writes its own cell, and reads those of the others."""

    def __init__(self, cells: memoryview, index: int) -> None:
        self._cells = cells
        self._index = index

    def tell(self, clients: int) -> None:
        """Say how many clients are in, and that more may come."""
        self._cells[self._index] = _OPEN + clients

    def close(self) -> None:
        """Accept no more: nobody needs to wait for this one."""
        self._cells[self._index] = _CLOSED

    def has_more(self) -> bool:
        """Tell whether another open one has fewer clients by more than a few."""
        enough = self._cells[self._index] - _MORE
        for cell in self._cells:
            if _OPEN <= cell < enough:
                return True
            if cell == _NEVER:
                break
        return False


class AcceptBalance:
    """The clients of all workers of a daemon, in memory that they share over a fork.

    Names are given from the lowest free one up, so that the first cell that was never used is the end.
    """

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, _PLACES * 8)).cast("Q")

    def share_of(self, worker: str) -> AcceptShare:
        """Return what the worker of that name has ("1", "2", ...)."""
        index = int(worker) - 1
        return AcceptShare(self._cells, index) if index < _PLACES else lone_share()

    def vacate(self, *, but: Collection[str]) -> None:
        """Note that workers are no more and accept nothing: all but those named."""
        for index, cell in enumerate(self._cells):
            if cell == _NEVER:
                break
            if str(index + 1) not in but:
                self._cells[index] = _CLOSED


def lone_share() -> AcceptShare:
    """Return what a worker has that has no neighbours."""
    return AcceptShare(memoryview(bytearray(8)).cast("Q"), 0)

"""The counters of all workers of one daemon, in memory that its processes share.

The supervisor makes it before it forks. Each worker writes in the row of its name and nowhere else;
any process reads all rows. So nothing is lost with a worker, not even by `kill -9`: its successor of
that name counts on from where it was (HW-02).

A cell is 8 octets, aligned and written whole, by one thread. No lock: a reader may see one number a
moment older than its neighbour, and never half of one.
"""

import mmap
from collections.abc import Collection, Iterator, Sequence

from relayd.metrics.families import CELL, CELLS, FAMILIES, Family, Labels, Sample
from relayd.metrics.probes import Probes

_SIZE = CELLS * 8  # octets of a row
_ROWS = 1024  # names in use at one time, all generations of a reload together
_TAKEN = 0  # the cell that says so
_GAUGES = [
    CELL[family.name, labels]
    for family in FAMILIES
    if family.kind == "gauge"
    for labels in family.cells
]


class Row:
    """The cells of one worker, as whole numbers and as sums of seconds."""

    __slots__ = ("numbers", "seconds")

    def __init__(self, memory: memoryview) -> None:
        self.numbers = memory.cast("Q")
        self.seconds = memory.cast("d")


def unshared_row() -> Row:
    """Return a row that nobody else reads, for a process without a daemon."""
    return Row(memoryview(bytearray(_SIZE)))


class SharedCounters:
    """The rows of all workers of a daemon."""

    def __init__(self) -> None:
        self.probes = Probes()
        self._memory = memoryview(mmap.mmap(-1, _ROWS * _SIZE))  # zeros; shared over a fork

    def row(self, worker: str) -> Row:
        """Take the row of the worker of that name ("1", "2", ...), with the numbers that are in it.

        Beyond the last row it is one that nobody else reads.
        """
        index = int(worker) - 1
        if index >= _ROWS:
            return unshared_row()
        row = self._at(index)
        row.numbers[_TAKEN] = 1
        return row

    def vacate(self, *, but: Collection[str]) -> None:
        """Set the gauges to zero of workers that are no more, all but those named."""
        for index, row in enumerate(self._rows(), 1):
            if str(index) not in but:
                for cell in _GAUGES:
                    row.numbers[cell] = 0

    def samples(self) -> Iterator[Sample]:
        """Yield every number, as the sum over all workers."""
        rows = tuple(self._rows())
        totals = [sum(column) for column in zip(*(row.numbers for row in rows), strict=True)]
        totals = totals or [0] * CELLS
        for family in FAMILIES:
            for labels in family.cells:
                cell = CELL[family.name, labels]
                if family.kind == "histogram":
                    seconds = sum(row.seconds[cell + len(family.bounds) + 1] for row in rows)
                    yield from histogram(family, labels, totals[cell:], seconds)
                else:
                    yield Sample(family=family, labels=labels, value=totals[cell])

    def total(self, family: Family, *labels: str) -> int:
        """Return one number of all workers together."""
        cell = CELL[family.name, labels]
        return sum(row.numbers[cell] for row in self._rows())

    def _rows(self) -> Iterator[Row]:
        """Yield those that were ever taken; the lowest free name is always the next to be given."""
        for index in range(_ROWS):
            row = self._at(index)
            if not row.numbers[_TAKEN]:
                return
            yield row

    def _at(self, index: int) -> Row:
        return Row(self._memory[index * _SIZE : (index + 1) * _SIZE])


def histogram(
    family: Family, labels: Labels, buckets: Sequence[int], seconds: float
) -> Iterator[Sample]:
    """Yield the lines of one histogram: its buckets, each not yet added to the one before, and its sum."""
    count = 0
    for bound, number in zip((*map(str, family.bounds), "+Inf"), buckets, strict=False):
        count += number
        yield Sample(family=family, labels=labels, suffix="_bucket", bound=bound, value=count)
    yield Sample(family=family, labels=labels, suffix="_sum", value=seconds)
    yield Sample(family=family, labels=labels, suffix="_count", value=count)

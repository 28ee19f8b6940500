"""The board: numbers of all workers of one daemon, in memory that its processes share.

The supervisor makes it before it forks; each worker writes in the place of its name and nowhere else,
and whoever is asked, in whichever process, reads all of them. So nothing is lost with a worker, not
even by `kill -9`: its successor of that name counts on from where it was (HW-02).

A cell is 8 octets, aligned and written whole, by one thread. No lock: a reader may see one number a
moment older than its neighbour, and never half of one.
"""

import mmap
from collections.abc import Collection, Iterator, Sequence

from relayd.metrics.families import CELL, CELLS, FAMILIES, Family, Labels, Sample

_SIZE = CELLS * 8  # octets of a place
_PLACES = 1024  # names in use at one time, all generations of a reload together
_TAKEN = 0  # the cell that says so
_GAUGES = [
    CELL[family.name, labels]
    for family in FAMILIES
    if family.kind == "gauge"
    for labels in family.cells
]


class Place:
    """Where one worker counts: whole numbers, and sums of seconds, over the same cells."""

    __slots__ = ("numbers", "seconds")

    def __init__(self, memory: memoryview) -> None:
        self.numbers = memory.cast("Q")
        self.seconds = memory.cast("d")


def apart() -> Place:
    """Return a place that nobody reads, for a process without a daemon."""
    return Place(memoryview(bytearray(_SIZE)))


class Board:
    """All places of a daemon."""

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, _PLACES * _SIZE))  # zeros; shared over a fork

    def place(self, worker: str) -> Place:
        """Take the place of the worker of that name ("1", "2", ...), with what is in it."""
        index = int(worker) - 1
        if index >= _PLACES:
            return apart()
        place = self._at(index)
        place.numbers[_TAKEN] = 1
        return place

    def vacate(self, *, but: Collection[str]) -> None:
        """Set the gauges to zero of workers that are no more, all but those named."""
        for index, place in enumerate(self._places(), 1):
            if str(index) not in but:
                for cell in _GAUGES:
                    place.numbers[cell] = 0

    def samples(self) -> Iterator[Sample]:
        """What all workers together have on it."""
        places = tuple(self._places())
        totals = [sum(column) for column in zip(*(place.numbers for place in places), strict=True)]
        totals = totals or [0] * CELLS
        for family in FAMILIES:
            for labels in family.cells:
                cell = CELL[family.name, labels]
                if family.kind == "histogram":
                    seconds = sum(place.seconds[cell + len(family.bounds) + 1] for place in places)
                    yield from _histogram(family, labels, totals[cell:], seconds)
                else:
                    yield Sample(family=family, labels=labels, value=totals[cell])

    def total(self, family: Family, *labels: str) -> int:
        """One number of all workers together."""
        cell = CELL[family.name, labels]
        return sum(place.numbers[cell] for place in self._places())

    def _places(self) -> Iterator[Place]:
        """Those that were ever taken; the lowest free name is always the next to be given."""
        for index in range(_PLACES):
            place = self._at(index)
            if not place.numbers[_TAKEN]:
                return
            yield place

    def _at(self, index: int) -> Place:
        return Place(self._memory[index * _SIZE : (index + 1) * _SIZE])


def _histogram(
    family: Family, labels: Labels, buckets: Sequence[int], seconds: float
) -> Iterator[Sample]:
    count = 0
    for bound, number in zip((*map(str, family.bounds), "+Inf"), buckets, strict=False):
        count += number
        yield Sample(family=family, labels=labels, suffix="_bucket", bound=bound, value=count)
    yield Sample(family=family, labels=labels, suffix="_sum", value=seconds)
    yield Sample(family=family, labels=labels, suffix="_count", value=count)

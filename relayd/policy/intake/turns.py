"""Who waits, who is next, and who has to leave when all places are taken.

Owns the order: no waiting. Networks take turns, however many of theirs wait, and when there is no
place left, the network that has most gives one up. Who is known has places of its own.
"""

from collections import deque
from enum import IntEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Rank(IntEnum):
    """How good one looks before the check: the best first."""

    KNOWN = 0  # the account was logged in to from there lately
    NEW = 1  # nothing is known
    SUSPECT = 2  # others failed there lately


STRANGERS = (Rank.NEW, Rank.SUSPECT)


class Turns(Generic[T]):
    """Those who wait. `places` are for those who are known, and as many for all others."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._lines: dict[Rank, dict[str, deque[T]]] = {rank: {} for rank in Rank}

    def join(self, one: T, rank: Rank, network: str) -> T | None:
        """Let `one` wait. Return who has to leave for that; `one` itself: there is no place for it."""
        leaves = None
        if self._taken(rank) >= self._places:
            leaves = self._make_room(rank, network)
            if leaves is None:
                return one
        self._lines[rank].setdefault(network, deque()).append(one)
        return leaves

    def next(self, *, among: tuple[Rank, ...]) -> T | None:
        """Take who is next, the best rank first, one of each network in turn; None: nobody waits."""
        for rank in among:
            lines = self._lines[rank]
            if lines:
                network = next(iter(lines))
                line = lines.pop(network)
                one = line.popleft()
                if line:
                    lines[network] = line  # after the others
                return one
        return None

    def _taken(self, rank: Rank) -> int:
        ranks = (rank,) if rank is Rank.KNOWN else STRANGERS
        return sum(len(line) for each in ranks for line in self._lines[each].values())

    def _make_room(self, rank: Rank, network: str) -> T | None:
        """Take the newest of the network that has most, of those who look no better; None: nobody."""
        worst = rank if rank is Rank.KNOWN or not self._lines[Rank.SUSPECT] else Rank.SUSPECT
        lines = self._lines[worst]
        if not lines:
            return None
        greediest = max(lines, key=lambda each: len(lines[each]))
        if worst is rank and len(lines[greediest]) <= len(lines.get(network, ())) + 1:
            return None
        one = lines[greediest].pop()
        if not lines[greediest]:
            del lines[greediest]
        return one

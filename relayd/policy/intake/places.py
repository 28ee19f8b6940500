"""Whose connection has a place in a worker, and who gives way when places are short.

Owns the count and the choice: no socket, no clock. Instants are seconds of a clock that never goes back.

Clients are of two kinds. Those who may relay are ours: their network says so, their unix socket, or
their login. All others are strangers, until they log in. Strangers are many and cost nothing to
make, so they never have all the places; and ours cannot push all strangers out, for who wants to log
in is a stranger at first.

When there is no place left, a connection gives way that only waits for its client, and is not in the
middle of a message: on the listener
that has most of them, one whose time waited, times the connections of its neighbours, is the most. So
a crowd from one network gives its own places up first, and of a crowd from everywhere the one that has
been silent longest. Nobody takes a place from a client of the same listener that has no more than itself.

Source: semantics A-01, A-02; RFC 5321 §7.8, §4.5.3.2.7 (five minutes, in calm).
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

_SHARES = 4  # of a worker's places: strangers have three at most, and are sure of one
_AT_ONCE = (
    16  # part of its places that a crowd gives up at once: to choose takes a look at all of them
)
MOST_SENDING = (
    64  # strangers that send a message at once: 20 MiB of memory, and 64 large messages on disk
)
_LONG = 30.0  # seconds that nobody needs for a bounce, who would keep others from sending theirs
_PATIENCE = (
    5.0  # seconds for the next command of a message, before it counts as waiting like others
)
_SILENT = 30.0  # seconds a stranger may be silent in a crowd; Postfix leaves it 10 under stress


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whom a connection belongs to."""

    listener: str
    client: str  # what counts as one client
    site: str  # and its neighbours
    is_stranger: bool


class Occupant(Protocol):
    """A connection that has a place."""

    @property
    def waits_since(self) -> float | None:
        """Since when it only waits for its client; None: something is under way."""
        ...

    @property
    def has_begun(self) -> bool:
        """Its client has begun a message, whose next command it waits for."""
        ...

    @property
    def sends_since(self) -> float | None:
        """Since when its client sends a message that it has not ended; None: it does not."""
        ...


K = TypeVar("K")
T = TypeVar("T", bound=Occupant)


@dataclass(frozen=True, slots=True)
class Place(Generic[T]):
    """There is room; `instead_of` have to give way for it first."""

    instead_of: Sequence[T] = ()


class Places(Generic[T]):
    """The places of one worker. Who has one: `take`, `leave`."""

    def __init__(self, places: int, *, per_client: int) -> None:
        self._places = places
        self._per_client = per_client
        self._most_strangers = max(1, places * (_SHARES - 1) // _SHARES)
        self._least_strangers = places // _SHARES
        self._at_once = max(1, self._most_strangers // _AT_ONCE)
        self._taken: dict[T, Whose] = {}
        self._strangers = 0
        self._clients: dict[str, int] = {}
        self._sites: dict[str, int] = {}
        self._listeners: dict[tuple[str, bool], int] = {}  # and whether of strangers

    def __len__(self) -> int:
        return len(self._taken)

    def __contains__(self, occupant: T) -> bool:
        return occupant in self._taken

    @property
    def strangers(self) -> int:
        return self._strangers

    def most(self) -> tuple[str, int]:
        """Return who has the most connections, and how many; nobody has none."""
        return max(self._clients.items(), key=itemgetter(1), default=("", 0))

    def held_by(self, client: str) -> int:
        return self._clients.get(client, 0)

    def take(self, occupant: T, whose: Whose) -> None:
        self._taken[occupant] = whose
        self._count(whose, 1)

    def leave(self, occupant: T) -> Whose | None:
        """Free its place, and return whose it was; None: it has none (any more)."""
        whose = self._taken.pop(occupant, None)
        if whose is not None:
            self._count(whose, -1)
        return whose

    def place_for(self, whose: Whose, *, now: float) -> Place[T] | None:
        """Find a place for a newcomer; None: there is none, or its client has all that it may have."""
        if self._clients.get(whose.client, 0) >= self._per_client:
            return None
        if not self._is_full_for(whose):
            return Place()
        for of_strangers in self._who_gives_way(whose):
            found = self._who_of(whose, of_strangers=of_strangers, now=now)
            if found:
                return Place(instead_of=found)
        return None

    @property
    def is_crowded(self) -> bool:
        """Strangers have half of their places."""
        return 2 * self._strangers >= self._most_strangers

    def silent(self, *, now: float) -> list[T]:
        """Return the strangers that have been silent for too long, if it is crowded."""
        if not self.is_crowded:
            return []
        return [
            occupant
            for occupant, whose in self._taken.items()
            if whose.is_stranger
            and occupant.waits_since is not None
            and now - occupant.waits_since > _SILENT
        ]

    def place_to_send(self, newcomer: Whose, *, now: float) -> Place[T] | None:
        """Find room for the message of one more stranger; None: there is none.

        Few of them send for long, so who does makes way for one who begins; and so does the network that
        sends most, for one that sends less than it even then.
        """
        sending = [
            (since, occupant, whose.site)
            for occupant, whose in self._taken.items()
            if whose.is_stranger and (since := occupant.sends_since) is not None
        ]
        if len(sending) < MOST_SENDING:
            return Place()
        counts = Counter(site for _, _, site in sending)
        [(busiest, most)] = counts.most_common(1)
        is_unfair = most > counts[newcomer.site] + 1
        since, longest, _ = min(
            (each for each in sending if not is_unfair or each[2] == busiest), key=itemgetter(0)
        )
        return Place(instead_of=(longest,)) if is_unfair or now - since >= _LONG else None

    def _is_full_for(self, whose: Whose) -> bool:
        if whose.is_stranger and self._strangers >= self._most_strangers:
            return True
        return len(self._taken) >= self._places

    def _who_gives_way(self, whose: Whose) -> Iterable[bool]:
        """Return of whom a place may be taken, one after the other: True are strangers."""
        if whose.is_stranger:
            return (False,) if self._strangers < self._least_strangers else (True,)
        return (True, False) if self._strangers > self._least_strangers else (False,)

    def _who_of(self, newcomer: Whose, *, of_strangers: bool, now: float) -> Sequence[T]:
        """Choose who gives way of strangers, or of ours."""
        is_like = newcomer.is_stranger is of_strangers
        held = {
            listener: count + (is_like and listener == newcomer.listener)
            for (listener, is_theirs), count in self._listeners.items()
            if is_theirs is of_strangers
        }
        fullest = max(held, key=held.__getitem__, default=newcomer.listener)
        least = self._clients.get(newcomer.client, 0) + 1 if is_like else 0
        for listener in dict.fromkeys((fullest, newcomer.listener)):
            crowd = [
                (occupant, whose)
                for occupant, whose in self._taken.items()
                if whose.listener == listener
                and whose.is_stranger is of_strangers
                and (listener != newcomer.listener or self._clients[whose.client] >= least)
            ]
            for stage in _STAGES if of_strangers else _STAGES[:1]:
                weighed = [
                    ((now - since) * self._sites[whose.site], occupant)
                    for occupant, whose in crowd
                    if (since := stage(occupant, now)) is not None
                ]
                if weighed:
                    is_crowd = of_strangers and stage is _waits_since
                    return self._heaviest(weighed, self._at_once if is_crowd else 1)
        return ()

    def _heaviest(self, weighed: list[tuple[float, T]], most: int) -> Sequence[T]:
        """Return the heaviest, and with it some that are half as heavy at least."""
        found = heapq.nlargest(most, weighed, key=itemgetter(0))
        return [occupant for weight, occupant in found if 2 * weight >= found[0][0]]

    def _count(self, whose: Whose, change: int) -> None:
        self._strangers += change * whose.is_stranger
        _add(self._clients, whose.client, change)
        _add(self._sites, whose.site, change)
        _add(self._listeners, (whose.listener, whose.is_stranger), change)


def _waits_since(occupant: Occupant, now: float) -> float | None:
    since = occupant.waits_since
    is_in_time = since is not None and occupant.has_begun and now - since < _PATIENCE
    return None if is_in_time else since


def _begun_since(occupant: Occupant, now: float) -> float | None:
    del now
    return occupant.waits_since if occupant.has_begun else None


def _sends_since(occupant: Occupant, now: float) -> float | None:
    del now
    return occupant.sends_since


_STAGES = (_waits_since, _begun_since, _sends_since)  # who gives way first; of ours nobody else


def _add(counter: dict[K, int], key: K, change: int) -> None:
    count = counter.get(key, 0) + change
    if count:
        counter[key] = count
    else:
        del counter[key]

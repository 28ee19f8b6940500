"""The window of one worker: how much of its work is in which queues, and whose answer is late.

`policy/delivery/admission.py` has the sizes and the decisions; here they are counted for.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from relayd.deliverer.destination_queue import DestinationQueue
from relayd.policy.delivery.admission import ASIDE_AFTER, FEW, Admission, Load, Quota
from relayd.ports.queue import Work

_LOOK_EVERY = ASIDE_AFTER / 5  # seconds


@dataclass(frozen=True, slots=True)
class Probes:
    """Which destinations that are not verified may have more work at one moment."""

    eligible: bool
    known_good: bool
    is_crowded: bool

    def may_have(self, queue: DestinationQueue | None, *, is_known_good: bool) -> bool:
        if not (self.known_good if is_known_good else self.eligible):
            return False
        return queue is None or not (queue.is_aside or (self.is_crowded and queue.has_waiting(FEW)))


class Window:
    """Counts what is leased, by the state of the queue that has it."""

    def __init__(self, slots: int) -> None:
        """`slots` is how many connections there may be."""
        self.load = Load()
        self._admission = Admission(slots)
        self._looked_at = float("-inf")
        self._claimed: set[int] = set()  # which of the works that are leased came by a claim

    def has_room(self, octets: int) -> bool:
        """Tell whether a new message of that size may be leased."""
        return self._admission.has_room(self.load, octets)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is leased."""
        return not self.load.messages and not self.load.aside

    @property
    def is_crowded(self) -> bool:
        """Tell whether many destinations are asked whether they take mail."""
        return self._admission.is_crowded(self.load)

    @property
    def quota(self) -> Quota | None:
        """What to claim; None: nothing for now."""
        return self._admission.quota(self.load)

    @property
    def few(self) -> Quota | None:
        """What to claim for queues that have nothing; None: nothing for now."""
        return self._admission.few(self.load)

    def probes(self) -> "Probes":
        """Return which of the destinations that are not verified may have more work, as things are now."""
        load = self.load
        return Probes(
            self._admission.may_probe(load, is_known_good=False),
            self._admission.may_probe(load, is_known_good=True),
            self._admission.is_crowded(load),
        )

    def may_probe(self, queue: DestinationQueue | None, *, is_known_good: bool) -> bool:
        """Tell whether a destination may have more whose queue, if it has one, is not verified."""
        return self.probes().may_have(queue, is_known_good=is_known_good)

    def put(self, queue: DestinationQueue, work: Work, *, is_claimed: bool) -> None:
        """Count work that a queue gets."""
        self.load.octets += _held(work)
        if is_claimed:
            self._claimed.add(id(work))
            queue.claimed += 1
            self.load.claimed += not queue.is_aside
        if queue.is_aside:
            self.load.aside += 1
        else:
            self.load.messages += 1
        if not queue.is_verified:
            queue.probing += 1
            if not queue.is_aside:
                self.load.probing += 1

    def done(self, queue: DestinationQueue, work: Work) -> bool:
        """Count work that is out of a queue; tell whether probing queues have just got room."""
        self.load.octets -= _held(work)
        if id(work) in self._claimed:
            self._claimed.remove(id(work))
            queue.claimed -= 1
            self.load.claimed -= not queue.is_aside
        if queue.is_aside:
            self.load.aside -= 1
            queue.probing -= 1
            return False
        self.load.messages -= 1
        return bool(queue.probing) and self._end_probing(queue, 1)

    def verified(self, queue: DestinationQueue) -> bool:
        """Count what a queue has as that of one that takes mail; tell the same."""
        if queue.is_aside:
            queue.is_aside = False
            self.load.aside -= queue.probing
            self.load.messages += queue.probing
            self.load.claimed += queue.claimed
            queue.probing = 0
            return False
        return self._end_probing(queue, queue.probing)

    def _end_probing(self, queue: DestinationQueue, count: int) -> bool:
        before = self.load.probing
        queue.probing -= count
        self.load.probing -= count
        return self._admission.is_probing_room_free(before, self.load.probing)

    def set_aside(self, queues: Iterable[DestinationQueue], now: float) -> bool:
        """Set those aside whose answer is late; tell whether the window for these has no room for all. `now` is the loop's."""
        if not self.is_crowded or now - self._looked_at < _LOOK_EVERY:
            return False
        self._looked_at, has_all = now, True
        for queue in queues:
            is_late = queue.probing and now - queue.opened_at >= ASIDE_AFTER
            if not is_late or queue.is_aside:
                continue
            if not self._admission.has_room_aside(self.load, queue.probing):
                has_all = False  # one that has less may find room yet
                continue
            queue.is_aside = True
            self.load.messages -= queue.probing
            self.load.probing -= queue.probing
            self.load.aside += queue.probing
            self.load.claimed -= queue.claimed
        return not has_all


def _held(work: Work) -> int:
    """Return how many octets of content it has in memory; a file is none of them."""
    return len(work.content) if isinstance(work.content, bytes) else 0

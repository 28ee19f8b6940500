"""The slots of destinations, what is due there, and pauses."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from operator import attrgetter

from relayd.mail.ids import WorkerNumber
from relayd.mail.outcome import RecipientState
from relayd.policy.delivery.fairness import FEW_LEFT, Head
from relayd.ports.outward import Clock
from relayd.ports.queue import Lease
from relayd.store.memory.tables import Recipient, Slot, Tables

IsNext = Callable[[Head | None, Head | None], bool]


class Leases:
    """Who may deliver where. `widths` says how many slots a destination has, 1 where it does not."""

    def __init__(self, clock: Clock, tables: Tables, widths: Mapping[str, int]) -> None:
        self._clock = clock
        self._tables = tables
        self._widths = widths

    def take(self, destination: str, worker: WorkerNumber, lease_for: timedelta) -> Lease | None:
        """Lease the slot that `worker` owns, else a free one; None when others own them all."""
        now = self._clock.monotonic()
        slots = self._tables.slots.setdefault(destination, [])
        while len(slots) < self._widths.get(destination, 1):
            slots.append(Slot(ends_at=now))
        owned = [index for index, slot in enumerate(slots) if slot.owner == worker]
        free = [i for i, slot in enumerate(slots) if slot.owner is None or slot.ends_at <= now]
        if not owned + free:
            return None
        index = (owned + free)[0]
        slot = slots[index]
        if slot.owner != worker:
            if all(other.owner is None or other.ends_at <= now for other in slots):
                self._tables.paused_for.pop(destination, None)
            self._abandon(destination, index)
            slot.owner = worker
        slot.ends_at = now + lease_for.total_seconds()
        return Lease(destination, index, slot.epoch)

    def current(self, lease: Lease) -> Slot | None:
        """Return the slot of a lease that still holds, be it past its end, while nobody took it."""
        for index, slot in enumerate(self._tables.slots.get(lease.destination, [])):
            if (index, slot.epoch) == (lease.slot, lease.epoch) and slot.owner is not None:
                return slot
        return None

    def leased(self, lease: Lease) -> list[Recipient]:
        """Return what is leased under a lease, and may wait again."""
        return [
            one
            for one in self._tables.recipients()
            if one.lease == lease and one.may_become(RecipientState.QUEUED)
        ]

    def abandon_of(self, dead: Collection[WorkerNumber]) -> None:
        """Free the slots of workers that are gone."""
        for destination, slots in self._tables.slots.items():
            for index, slot in enumerate(slots):
                if slot.owner in dead:
                    self._abandon(destination, index)

    def abandon_ended(self, *, but: WorkerNumber | None = None) -> int:
        """Free the slots whose lease has ended, `but` those of a worker; return how many recipients that freed."""
        return sum(
            self._abandon(destination, index)
            for destination, slots in self._tables.slots.items()
            for index, slot in enumerate(slots)
            if slot.owner not in (None, but) and slot.ends_at <= self._clock.monotonic()
        )

    def _abandon(self, destination: str, index: int) -> int:
        """Free a slot whose owner is gone; return how many recipients that freed."""
        slot = self._tables.slots[destination][index]
        leased = self.leased(Lease(destination, index, slot.epoch))
        for recipient in leased:
            recipient.unknown_outcomes = max(recipient.unknown_outcomes, 1)
            recipient.requeue(self._clock.now())
        slot.owner = None
        slot.epoch += 1
        return len(leased)

    def due_destinations(self, is_next: IsNext) -> Iterator[tuple[str, int | None]]:
        """Yield where something is due: of those without a backlog, and of the others, as `is_next` says.

        With each how many others without one there are; None: it has one itself.
        """
        now, left_at = self._clock.now(), self._tables.left_at
        since: dict[str, datetime] = {}
        waiting = Counter(one.destination for one in self._tables.recipients() if one.is_waiting())
        for name in [name for name in left_at if waiting[name] <= FEW_LEFT]:
            del left_at[name]  # an operator took the rest
        for one in self._tables.recipients():
            if one.is_waiting() and (due_at := self._due_at(one)) <= now:
                since[one.destination] = min(since.get(one.destination, due_at), due_at)
        places = sorted(
            (max(at, left_at.get(name, at)).timestamp(), name) for name, at in since.items()
        )
        without = [place for place in places if place[1] not in left_at]
        behind = [place for place in places if place[1] in left_at]
        others = len(without) - 1
        while without or behind:
            if is_next(without[0] if without else None, behind[0] if behind else None):
                yield without.pop(0)[1], others
            else:
                yield behind.pop(0)[1], None

    def note_claimed(self, destination: str, recipients: Iterable[Recipient]) -> None:
        """Note whether a claim of these recipients of a destination left a backlog."""
        if len(self.due(recipients)) > FEW_LEFT:
            self._tables.left_at[destination] = self._clock.now()
        else:
            self._tables.left_at.pop(destination, None)

    def due(self, recipients: Iterable[Recipient]) -> list[Recipient]:
        """Return which of them are due, the earliest first."""
        now = self._clock.now()
        due = [one for one in recipients if one.is_waiting() and self._due_at(one) <= now]
        return sorted(due, key=attrgetter("next_attempt_at", "message_id", "number"))

    def _due_at(self, recipient: Recipient) -> datetime:
        at = recipient.next_attempt_at
        return max(at, self._tables.paused.get(recipient.destination, at))

    def is_paused(self, destination: str) -> bool:
        paused_until = self._tables.paused.get(destination)
        return paused_until is not None and self._clock.now() < paused_until

    def remark(self, destination: str, why: str) -> None:
        """Say why a destination waits, unless a pause says it."""
        if not self.is_paused(destination):
            self._tables.paused_for[destination] = why

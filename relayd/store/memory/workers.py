"""The workers that may be alive, and their numbers."""

from collections.abc import Collection, Iterable
from datetime import datetime

from relayd.mail.ids import (
    MessageId,
    Registration,
    WorkerIdentity,
    WorkerNumber,
    bits_of,
    first_id_at,
    next_number,
    received_at_of,
    worker_bits_of,
)


class Workers:
    """Those that registered, without those that a later one has replaced."""

    def __init__(self) -> None:
        self._living: dict[WorkerNumber, WorkerIdentity] = {}
        self._last = 0  # the highest number given

    def is_first(self, worker: WorkerIdentity) -> bool:
        """Tell whether no other worker of its boot was here before."""
        return all(each.boot != worker.boot for each in self._living.values())

    def remove_dead(self, worker: WorkerIdentity) -> Collection[WorkerNumber]:
        """Forget the workers that `worker` comes after; return their numbers."""
        dead = {
            number
            for number, each in self._living.items()
            if each.boot != worker.boot or each.name == worker.name
        }
        for number in dead:
            del self._living[number]
        return dead

    def add(
        self, worker: WorkerIdentity, *, ids: Iterable[MessageId], at: datetime
    ) -> Registration:
        """Give `worker` its number, and an instant after which its ids are new."""
        self._last = number = next_number(self._last, self._living)
        self._living[number] = worker
        latest = max((each for each in ids if worker_bits_of(each) == bits_of(number)), default=0)
        return Registration(
            number=number, ids_after=received_at_of(MessageId(max(first_id_at(at), latest)))
        )

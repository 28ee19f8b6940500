"""What a destination queue and the one who opened it tell each other."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from relayd.deliverer.nexthop.hosts import HostFailure
from relayd.ports.queue import Work

if TYPE_CHECKING:
    from relayd.deliverer.destination_queue import DestinationQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueClosed:
    """Why a queue gave up, for the one who opened it."""

    failures: tuple[HostFailure, ...] = ()
    login_refused: bool = False
    is_shortage: bool = False  # nobody failed: this machine lacks something for now
    until: datetime | None = None  # nobody failed, but nothing more may be sent before
    reason: str = ""  # where `failures` do not say it


class QueueOwner(Protocol):
    """Who opened a destination queue."""

    @property
    def has_few_queues(self) -> bool:
        """Destination queues without work may stay for a while."""
        ...

    def done(self, queue: "DestinationQueue", work: Work) -> None:
        """`work` is out of the queue, whatever became of it."""

    async def holds(self, queue: "DestinationQueue") -> bool:
        """Tell whether the queue's lease is still ours; else the queue is closed."""
        ...

    def verified(self, queue: "DestinationQueue") -> None:
        """The destination takes mail."""

    def closed(self, queue: "DestinationQueue", why: QueueClosed | None) -> None:
        """The queue is at its end; `why` is None when its owner closed it."""

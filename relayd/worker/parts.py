"""What both halves of a worker use: the store, the queue ids, the events, the clock."""

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relayd.mail.ids import (
    IDS_PER_MILLISECOND,
    MessageId,
    Registration,
    WorkerNumber,
    make_id,
)
from relayd.policy.pausing import Pausing
from relayd.ports.membership import Membership
from relayd.ports.outward import Clock
from relayd.ports.queue import QueueStore
from relayd.ports.view import QueueView
from relayd.worker.asking import Asking
from relayd.worker.events import Events
from relayd.worker.membership import DaemonMembership
from relayd.worker.signing import DkimSigner


class IdSource:
    """Message ids of one worker; they rise and never repeat, also when the clock is set back.

    For any thread: the store asks for reports on its own.
    """

    def __init__(self, registered: Registration) -> None:
        self._worker = registered.number
        self._latest = registered.ids_after
        self._count = IDS_PER_MILLISECOND - 1  # of that millisecond no id is left
        self._lock = threading.Lock()

    def next_id(self, at: datetime) -> MessageId:
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        with self._lock:
            self._count += 1
            if at > self._latest or self._count == IDS_PER_MILLISECOND:
                self._latest = max(at, self._latest + timedelta(milliseconds=1))
                self._count = 0
            return make_id(self._latest, self._worker, self._count)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker's halves share."""

    store: QueueStore
    view: QueueView
    worker: WorkerNumber
    ids: IdSource
    events: Events
    clock: Clock
    pausing: Pausing
    signer: DkimSigner | None = None  # set where there are keys
    asking: Asking = field(default_factory=Asking)
    membership: Membership = field(default_factory=lambda: DaemonMembership(1))

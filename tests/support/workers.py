"""Workers as a store knows them."""

from datetime import UTC, datetime

from relayd.mail.ids import Registration, WorkerIdentity, WorkerNumber
from relayd.ports.queue import QueueStore


async def registered(store: QueueStore, name: str, *, boot: str = "") -> WorkerNumber:
    """Register a worker of this machine; return its number."""
    given = await store.register(WorkerIdentity(node="node1", boot=boot, name=name))
    return given.number


def a_registration(number: int) -> Registration:
    """Return one of a worker whose ids may be of any time."""
    return Registration(number=WorkerNumber(number), ids_after=datetime(2020, 1, 1, tzinfo=UTC))

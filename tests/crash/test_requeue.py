"""A process that dies while it requeues sends nothing twice, and loses nothing.

A child requeues batch by batch and is killed in the middle; another one then does it again from the start.
"""

import asyncio
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from relayd.mail.ids import WorkerIdentity
from relayd.ports.queue import Batch
from relayd.ports.view import Query, Status
from relayd.store import open_store, open_view
from relayd.worker.parts import IdSource
from relayd.worker.system import SystemClock
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.daemon import ROOT
from tests.support.requeueing import a_requeue
from tests.support.stores import LEASE

BOUNCED = 120
BATCHES = 5  # of 4 messages; then it is killed


async def requeue(queue: str, *, again: bool = False, prepare: bool = False) -> None:
    """What the child does; to `prepare` is to have mail bounce."""
    clock = SystemClock()
    store = open_store(f"sqlite:{queue}", clock=clock, slots={}, keeps_bounced=True)
    registration = await store.register(WorkerIdentity(node="n", boot=str(prepare), name="1"))
    if prepare:
        for number in range(BOUNCED):
            message = a_message(f"{number}@x.test", at=clock.now())
            for work in await store.enqueue(message, worker=registration.number, lease_for=LEASE):
                await store.settle(work.lease, settlements_of(work, a_bounce()))
        await store.close()
        return
    how, batch = a_requeue(clock, again=again, ids=IdSource(registration)), Batch(limit=4)
    while True:
        done = await store.requeue(Query(domain=("x.test",)), how, batch=batch)
        sys.stdout.write(f"{done.counts.changed}\n")
        sys.stdout.flush()
        if done.more is None:
            break
        batch = Batch(limit=4, before=done.more)
    await store.close()


def copies_after_a_kill(queue: Path, *, again: bool) -> Counter[str]:
    """Return how many new messages each address has after a kill and a second run."""
    asyncio.run(requeue(str(queue), prepare=True))
    command = [sys.executable, "-m", "tests.crash.test_requeue", str(queue)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(BATCHES):
            assert child.stdout.readline() == b"4\n"
        child.kill()
    asyncio.run(requeue(str(queue), again=again))
    with closing(open_view(f"sqlite:{queue}")) as view:
        return Counter(row.address for row in view.find(Query(status=(Status.QUEUED,)), limit=9999))


def test_each_is_sent_again_once_though_it_was_killed(tmp_path: Path) -> None:
    copies = copies_after_a_kill(tmp_path / "queue.db", again=False)
    assert copies == {f"{number}@x.test": 1 for number in range(BOUNCED)}


def test_sending_twice_would_be_seen(tmp_path: Path) -> None:
    """The negative control: who says `again` has copies."""
    copies = copies_after_a_kill(tmp_path / "queue.db", again=True)
    assert copies.total() >= BOUNCED + 4 * BATCHES


if __name__ == "__main__":
    asyncio.run(requeue(sys.argv[1]))

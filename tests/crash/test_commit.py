"""The negative control of the crash tests: 250 before the commit must be seen as loss.

A child process puts messages into a queue and says which ones it would acknowledge; it is killed
in the middle. The honest one says so when the store does, the lying one at once.
"""

import asyncio
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from relayd.mail.ids import MessageId
from relayd.store import open_store, open_view
from relayd.worker.system import SystemClock
from tests.support.builders import a_message
from tests.support.daemon import ROOT
from tests.support.workers import registered

ACKNOWLEDGED = 400  # then it is killed


async def acknowledge(queue: str, *, lying: bool) -> None:
    """What the child does."""
    store = open_store(f"sqlite:{queue}", clock=SystemClock(), slots={})
    worker = await registered(store, "1")
    while True:
        messages = [a_message(at=SystemClock().now()) for _ in range(20)]
        stored = [store.enqueue(one, worker=worker, lease_for=None) for one in messages]
        if not lying:
            await asyncio.gather(*stored)
        for message in messages:
            sys.stdout.write(f"{message.id}\n")
        sys.stdout.flush()
        await asyncio.sleep(0)


def lost(queue: Path, *, lying: bool) -> set[int]:
    """Which acknowledged messages are not in the queue after `kill -9`."""
    command = [sys.executable, "-m", "tests.crash.test_commit", str(queue), "lying" * lying]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        acknowledged = {int(child.stdout.readline()) for _ in range(ACKNOWLEDGED)}
        child.kill()
        rest = child.stdout.read().rpartition(b"\n")[0]
    acknowledged |= {int(line) for line in rest.splitlines()}
    with closing(open_view(f"sqlite:{queue}")) as view:
        return {each for each in acknowledged if not view.history(MessageId(each))}


def test_what_the_store_called_durable_is_there_after_a_kill(tmp_path: Path) -> None:
    assert not lost(tmp_path / "queue.db", lying=False)


def test_acknowledging_before_the_commit_is_seen(tmp_path: Path) -> None:
    assert lost(tmp_path / "queue.db", lying=True)


if __name__ == "__main__":
    asyncio.run(acknowledge(sys.argv[1], lying=sys.argv[2] == "lying"))

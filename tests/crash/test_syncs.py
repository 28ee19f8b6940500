"""No byte of a 250 leaves before the sync of its message returned (F-07), seen from outside.

strace tells the system calls of all workers in their order. A message's queue id is in its trace
header, so it shows in the write to the queue's log and in the reply.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.daemon import a_daemon, a_smarthost, eventually
from tests.support.ledger import Load

MESSAGES = 170  # from each of
CLIENTS = 6
CALLS = "pwrite64,pwritev,fdatasync,fsync,write,writev,sendto,sendmsg"

_LINE = re.compile(r"(?P<pid>\d+) +(?P<call>.*)")
_ID = re.compile(r"\bid ([0-9A-HJKMNP-TV-Z]{13})\b")
_QUEUED = re.compile(r"250 2\.0\.0 OK queued as ([0-9A-HJKMNP-TV-Z]{13})")
_SYNC = re.compile(r"f(?:data)?sync\(\d+<[^>]*queue\.db-wal>")
_WAL = re.compile(r"pwritev?(?:64)?\(\d+<[^>]*queue\.db-wal>")


class Order:
    """Follows the calls; `early` is what was acknowledged before its sync had returned."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.early: set[str] = set()
        self.syncs = 0
        self._written: set[str] = set()
        self._durable: set[str] = set()
        self._syncing: dict[str, set[str]] = {}  # by thread: what was written when it began

    def follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            found = _LINE.match(line)
            if found is not None:
                self._see(found["pid"], found["call"])

    def _see(self, pid: str, call: str) -> None:
        if _SYNC.match(call):
            self._syncing[pid] = set(self._written)
        if pid in self._syncing and "sync" in call:
            if call.rstrip().endswith("= 0"):
                self._durable |= self._syncing.pop(pid)
                self.syncs += 1
        elif _WAL.match(call):
            self._written.update(_ID.findall(call))
        else:
            replies = set(_QUEUED.findall(call))
            self.acknowledged |= replies
            self.early |= replies - self._durable


def a_trace(*calls: str) -> Order:
    order = Order()
    order.follow(calls)
    return order


WRITTEN = '7 pwrite64(9</q/queue.db-wal>, "by relay.test id 0000000000001;", 4096, 0) = 4096'
SYNC = "7 fdatasync(9</q/queue.db-wal>) = 0"
REPLY = '8 write(12<socket:[1]>, "250 2.0.0 OK queued as 0000000000001\\r\\n", 40) = 40'
BEGUN = "7 fdatasync(9</q/queue.db-wal> <unfinished ...>"
ENDED = "7 <... fdatasync resumed>)          = 0"


@pytest.mark.parametrize(
    ("calls", "early"),
    [
        pytest.param([WRITTEN, SYNC, REPLY], False, id="in-order"),
        pytest.param([WRITTEN, BEGUN, ENDED, REPLY], False, id="in-two-parts"),
        pytest.param([WRITTEN, REPLY, SYNC], True, id="control-before-the-sync"),
        pytest.param([WRITTEN, BEGUN, REPLY, ENDED], True, id="control-during-the-sync"),
        pytest.param([SYNC, WRITTEN, REPLY], True, id="control-a-sync-of-earlier-writes"),
        pytest.param([BEGUN, WRITTEN, ENDED, REPLY], True, id="control-written-during-the-sync"),
        pytest.param([WRITTEN, SYNC.replace("= 0", "= -1 EIO"), REPLY], True, id="control-failed"),
    ],
)
def test_the_check_itself(calls: list[str], early: bool) -> None:  # noqa: FBT001
    assert bool(a_trace(*calls).early) is early


def test_every_250_comes_after_its_sync(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    command = (strace, "-D", "-f", "-y", "--seccomp-bpf", "-s", "20000", "-e", f"trace={CALLS}")
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
        assert daemon.stop() == 0  # there is a queue: now only mail is written
        daemon.up(*command, "-o", str(trace), traceable=True)
        load = Load(daemon.port, clients=CLIENTS, messages=MESSAGES, seed=1)
        load.join()
        eventually(lambda: len(smarthost.messages) >= load.acked(), "relayed")
        assert daemon.stop() == 0
        assert daemon.process is not None
        over = re.compile(rb"^%d +\+\+\+ exited" % daemon.process.pid, re.MULTILINE)
        eventually(lambda: over.search(trace.read_bytes()[-1000:]), "strace has written all")
    order = Order()
    with trace.open(errors="replace") as lines:
        order.follow(lines)
    assert len(order.acknowledged) == load.acked() > MESSAGES * CLIENTS / 2
    assert order.syncs > 0
    assert not order.early

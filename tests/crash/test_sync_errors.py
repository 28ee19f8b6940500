"""A sync that fails: no 250, no 451, a fresh process, and nothing acknowledged is lost (F-08, S-55).

strace lets the Nth sync of each writer fail without doing it. What was written is still in the
page cache, so the message may come back: only silence is honest.
"""

import shutil
from pathlib import Path

import pytest

from relayd.ports.view import Query
from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually
from tests.support.ledger import Fate, Load, judge

CONNECTIONS = 4
CLIENTS = 4
NTH = 60  # sync of a writer: late enough for some mail to be taken by each process


def drained(daemon: Daemon) -> bool:
    return not daemon.rows(Query(unfinished=True))


def test_a_failed_sync_ends_the_worker_and_nothing_else(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    fault = f"inject=fdatasync:error=EIO:when={NTH}"
    command = (strace, "-D", "-f", "--seccomp-bpf", "-e", "trace=fdatasync", "-e", fault)
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, connections=CONNECTIONS) as daemon,
    ):
        assert daemon.stop() == 0
        daemon.up(*command, "-o", "/dev/null")
        load = Load(daemon.port, clients=CLIENTS, messages=40, seed=1)
        load.join()
        eventually(lambda: daemon.events("worker_ends"), "a sync failed")
        eventually(lambda: drained(daemon), "the queue is empty", within=30)
        deaths = len(daemon.events("worker_ends"))
        assert all("commit" in one["reason"] for one in daemon.events("worker_ends"))
        assert daemon.stop() == 0
        judge(load.ledger, smarthost.messages, daemon.rows(), duplicates=deaths * CONNECTIONS)
        assert load.ledger.of(Fate.UNKNOWN), "somebody got no answer"
        assert not daemon.events("worker_failed"), "a fault that was foreseen"

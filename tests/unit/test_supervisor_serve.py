"""The supervisor's judgement of its workers; what it does to them is tested in `e2e`."""

import math
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.config.model import MOST_WORKERS
from relayd.errors import StartError
from relayd.metrics import shared
from relayd.policy.delivery.route import RouteRules
from relayd.policy.stopping import LEAVES_FOR
from relayd.policy.tls.reporting import ReportsSent
from relayd.receiver import accept_balance
from relayd.settings import TlsrptSettings
from relayd.supervisor import leaving
from relayd.supervisor.generation import Timeouts
from relayd.supervisor.in_force import tell_of
from relayd.supervisor.processes import Worker
from relayd.supervisor.serve import CLOCK_JUMP, Supervisor
from relayd.systemd import Notifier
from relayd.worker.supervision import UPGRADING
from tests.support.supervised import settings_of, stand_in


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    settings = settings_of([], control=f"{tmp_path}/c.sock", queue=f"{tmp_path}/queue.db")
    made = Supervisor(settings, reload=None, worker_main=stand_in, timeouts=Timeouts())
    yield made
    made._addresses.close()
    made._current.lock.close()


@pytest.mark.parametrize("fault", ["no-folder", "directory", "fifo", "link"])
def test_a_status_log_that_cannot_be_written_is_one_clear_line(tmp_path: Path, fault: str) -> None:
    """A-102: said before any worker is started, and nothing is left behind."""
    path = tmp_path / "no" / "status.log" if fault == "no-folder" else tmp_path / "status.log"
    match fault:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.symlink_to("elsewhere")
        case _:
            pass
    settings = settings_of([], control=f"{tmp_path}/c.sock", queue=f"{tmp_path}/queue.db")
    settings = replace(settings, log=replace(settings.log, status_log=str(path)))
    for _ in range(2):
        with pytest.raises(StartError, match=r"cannot write the status log .*see status_log\.path"):
            Supervisor(settings, reload=None, worker_main=stand_in, timeouts=Timeouts())
    assert not (tmp_path / "c.sock").exists()


@pytest.mark.parametrize(("gap", "moved"), [(CLOCK_JUMP - 1, 0.0), (600.0, 600.0)])
def test_a_supervisor_that_was_stopped_blames_nobody(
    supervisor: Supervisor, gap: float, moved: float
) -> None:
    """After SIGSTOP of the whole daemon for ten minutes every worker seems to be silent (F-25)."""
    now = time.monotonic()
    worker, killed = (
        Worker(
            name=name,
            pid=0,
            heartbeat=-1,
            started_at=now,
            heard_at=now,
            deadline=deadline,
            retired=True,
        )
        for name, deadline in (("1", now + 20), ("2", math.inf))
    )
    supervisor._leaving.add([worker, killed], now + 20, for_others=False)
    supervisor._looked_at = now
    supervisor._forgive_nap(now + gap)
    assert worker.heard_at == pytest.approx(now + moved)
    assert worker.deadline == pytest.approx(now + 20 + moved)
    assert killed.deadline == math.inf
    supervisor._forgive_nap(now + gap)
    assert worker.heard_at == pytest.approx(now + moved)


def a_starting_worker(name: str, now: float, ours: socket.socket) -> Worker:
    return Worker(
        name=name,
        pid=0,
        heartbeat=ours.fileno(),
        started_at=now,
        heard_at=now,
        deadline=now + Timeouts().start,
    )


def test_a_queue_is_brought_up_to_date_for_as_long_as_that_takes(tmp_path: Path) -> None:
    """One worker does it, and the others wait for it. Once it is silent, all have the time of a start."""
    start, took = Timeouts().start, 3600
    settings = settings_of([], control=f"{tmp_path}/c.sock", queue=f"{tmp_path}/queue.db")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        supervisor = Supervisor(
            replace(settings, workers=2),
            reload=None,
            worker_main=stand_in,
            timeouts=Timeouts(),
        )
        supervisor._notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        lines = [socket.socketpair() for _ in range(2)]
        now = time.monotonic()
        first, second = (
            a_starting_worker(str(number), now, ours)
            for number, (ours, theirs) in enumerate(lines, start=1)
        )
        for ours, _ in lines:
            ours.settimeout(0)
        for place, worker in zip(supervisor._current._places, (first, second), strict=True):
            place.worker = worker
        for later in range(0, took, 10):
            lines[0][1].send(UPGRADING)
            supervisor._hear(now + later)
            assert min(first.deadline, second.deadline) == now + later + start
            assert manager.recv(200).startswith(b"EXTEND_TIMEOUT_USEC=60000000\n")
        supervisor._hear(now + took)
        assert max(first.deadline, second.deadline) < now + took + start, "nothing more is said"
        supervisor._addresses.close()
        supervisor._current.lock.close()
        for pair in lines:
            for each in pair:
                each.close()


def test_every_worker_that_may_live_has_a_place() -> None:
    """In what the workers share, with as many reloads as there can be at one time."""
    most = MOST_WORKERS * (leaving.AT_ONCE + 2)
    assert most <= accept_balance._PLACES
    assert most <= shared._ROWS


@pytest.mark.parametrize(
    ("is_direct", "sends", "is_told"),
    [(True, "failures", True), (True, "off", False), (False, "failures", False)],
)
def test_that_tls_reports_cannot_be_signed_is_told_at_start(
    supervisor: Supervisor, sends: str, *, is_direct: bool, is_told: bool
) -> None:
    """Without a key nobody would believe them."""
    settings = replace(
        supervisor._current.settings,
        routes=RouteRules(use_remote_smtp=is_direct),
        tlsrpt=TlsrptSettings(send=ReportsSent(sends)),
    )
    with capture_logs() as told:
        tell_of(settings, unused=())
    assert ("tls_reports_off" in [line["event"] for line in told]) is is_told


@pytest.mark.parametrize(
    "again", [False, True], ids=["when its time is over", "by a second signal"]
)
def test_a_daemon_that_a_balancer_asks_says_that_it_leaves_before_it_stops(
    supervisor: Supervisor, *, again: bool
) -> None:
    """The listeners stay open meanwhile, so that no new client is refused."""
    now = 1000.0
    for ago in (5, 3, 1):
        supervisor._starter.probes.asked(now - ago)
    supervisor._handle(signal.SIGTERM, now)
    assert supervisor._starter.probes.is_leaving
    supervisor._advance(now + LEAVES_FOR - 0.1)
    assert not supervisor._stopping
    if again:
        supervisor._handle(signal.SIGTERM, now + 1)
    else:
        supervisor._advance(now + LEAVES_FOR)
    assert supervisor._stopping


@pytest.mark.parametrize(
    "asked",
    [(), (3, 1), (1.2, 1.1, 1), (90, 40, 1)],
    ids=["nobody", "twice", "in one moment", "seldom"],
)
def test_a_daemon_that_no_balancer_asks_stops_at_once(
    supervisor: Supervisor, asked: tuple[float, ...]
) -> None:
    now = 1000.0
    for ago in asked:
        supervisor._starter.probes.asked(now - ago)
    supervisor._handle(signal.SIGTERM, now)
    assert supervisor._stopping

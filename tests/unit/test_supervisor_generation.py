"""When a dead worker is replaced, and when there is no point in going on."""

import math
import os
from pathlib import Path

import pytest

from relayd.supervisor.generation import Generation, Timeouts
from relayd.supervisor.lock import QueueLock
from relayd.supervisor.processes import Worker
from tests.support.supervised import settings_of

TIMEOUTS = Timeouts()


def dead_worker(exit_code: int, *, started_at: float, ready: bool = True) -> Worker:
    """A process that has ended and that nobody has waited for."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {exit_code}"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return Worker(
        name="1",
        pid=pid,
        heartbeat=-1,
        started_at=started_at,
        heard_at=started_at,
        deadline=math.inf,
        ready=ready,
    )


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    settings = settings_of([], control=f"{tmp_path}/control.sock", queue="unused")
    return Generation(settings, QueueLock(f"sqlite:{tmp_path}/queue.db"), timeouts=TIMEOUTS)


def die(
    generation: Generation, exit_code: int, now: float, *, lived: float, ready: bool = True
) -> float:
    """Let one worker start and die; return how long its place stays empty."""
    generation.fill(math.inf, lambda _: dead_worker(exit_code, started_at=now - lived, ready=ready))
    assert generation.reap(now)
    assert generation.due_at is not None
    return generation.due_at - now


def test_the_wait_doubles_with_early_deaths_and_starts_over(generation: Generation) -> None:
    waits = [die(generation, 1, 100.0 * turn, lived=9.9) for turn in range(8)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    assert die(generation, 1, 1000.0, lived=10.0) == pytest.approx(0.1)
    assert die(generation, 1, 1100.0, lived=0.0) == pytest.approx(0.2)


def test_a_worker_is_started_when_it_is_due_and_not_before(generation: Generation) -> None:
    wait = die(generation, 1, 100.0, lived=0)
    generation.fill(100.0 + wait / 2, lambda _: dead_worker(0, started_at=100.0))
    assert generation.workers == []
    generation.fill(100.0 + wait, lambda _: dead_worker(0, started_at=100.0))
    assert len(generation.workers) == 1
    assert generation.due_at is None
    assert generation.ready
    assert generation.stop_all()[0].reap() == 0


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        pytest.param([(78, True)], 78, id="settings wrong, after being ready"),
        pytest.param([(78, False)], 78, id="settings wrong"),
        pytest.param([(3, False)] * 5, 3, id="five in a row"),
        pytest.param([(0, False)] * 5, 70, id="five in a row that claim success"),
        pytest.param([(3, False)] * 4, None, id="four in a row"),
        pytest.param([(3, True)] * 9, None, id="ready each time"),
    ],
)
def test_it_gives_up_when_there_is_no_point(
    generation: Generation, ends: list[tuple[int, bool]], verdict: int | None
) -> None:
    for turn, (exit_code, ready) in enumerate(ends):
        die(generation, exit_code, 100.0 * turn, lived=20, ready=ready)
    assert generation.exit_code == verdict


def test_a_ready_worker_ends_the_row(generation: Generation) -> None:
    for turn in range(4):
        die(generation, 3, 100.0 * turn, lived=0, ready=False)
    generation.welcome()
    die(generation, 3, 500.0, lived=0, ready=False)
    assert generation.exit_code is None


def test_no_room_for_a_process_is_tried_again_later(generation: Generation) -> None:
    def refuse(_: int) -> Worker:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    generation.fill(100.0, refuse)
    assert generation.workers == []
    assert generation.due_at == pytest.approx(100.1)


def test_a_lack_of_descriptors_at_the_start_of_workers_is_no_reason_to_give_up(
    generation: Generation,
) -> None:
    for turn in range(20):
        die(generation, os.EX_TEMPFAIL, 100.0 * turn, lived=0.1, ready=False)
    assert generation.exit_code is None

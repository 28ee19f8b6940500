"""A worker that brings the queue of an older relayd up to date says so, to the supervisor and in the log."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.store.sqlite.connection import newest_schema, prepare
from relayd.worker import upgrading
from relayd.worker.supervision import UPGRADING
from relayd.worker.upgrading import Upgrade
from tests.support.old_queue import an_old_queue


@pytest.fixture
def line() -> Iterator[tuple[int, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours.fileno(), theirs


def test_each_step_is_told(tmp_path: Path, line: tuple[int, socket.socket]) -> None:
    descriptor, supervisor = line
    an_old_queue(tmp_path / "queue.db", schema=3)
    with capture_logs() as logs, Upgrade(descriptor) as upgrade:
        prepare(str(tmp_path / "queue.db"), upgrade.step)
    assert supervisor.recv(1) == UPGRADING
    last = newest_schema()
    assert [(line["event"], line["step"], line["last"]) for line in logs] == [
        *(("queue_upgrading", step, last) for step in range(4, last + 1)),
        ("queue_upgraded", last, last),
    ]


@pytest.mark.parametrize("exists", [True, False], ids=["a-queue-of-today", "no-queue"])
def test_without_a_step_nothing_is_told(
    tmp_path: Path, line: tuple[int, socket.socket], *, exists: bool
) -> None:
    descriptor, supervisor = line
    if exists:
        prepare(str(tmp_path / "queue.db"))
    with capture_logs() as logs, Upgrade(descriptor) as upgrade:
        prepare(str(tmp_path / "queue.db"), upgrade.step)
    supervisor.settimeout(0)
    with pytest.raises(BlockingIOError):
        supervisor.recv(1)
    assert logs == []


def test_a_step_that_takes_long_is_told_again_and_again(
    line: tuple[int, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While SQLite works no Python code of that thread runs; nothing is said any more when it is over."""
    descriptor, supervisor = line
    monkeypatch.setattr(upgrading, "_EVERY", 0.001)
    monkeypatch.setattr(upgrading, "_LOG_EVERY", 2)
    with capture_logs() as logs:
        with Upgrade(descriptor) as upgrade:
            upgrade.step(7, 9)
            heard = b""
            while len(heard) < 5:
                heard += supervisor.recv(100)
        assert set(heard) == set(UPGRADING)
    assert [line["event"] for line in logs][:2] == ["queue_upgrading"] * 2
    assert all((line["step"], line["last"]) == (7, 9) for line in logs)


def test_a_supervisor_that_is_gone_stops_no_step(line: tuple[int, socket.socket]) -> None:
    descriptor, supervisor = line
    supervisor.close()
    with Upgrade(descriptor) as upgrade:
        upgrade.step(7, 9)


def test_a_step_that_fails_is_not_told_as_done(line: tuple[int, socket.socket]) -> None:
    def fail() -> None:
        with Upgrade(line[0]) as upgrade:
            upgrade.step(7, 9)
            raise ZeroDivisionError

    with capture_logs() as logs, pytest.raises(ZeroDivisionError):
        fail()
    assert [line["event"] for line in logs] == ["queue_upgrading"]

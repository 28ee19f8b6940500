"""A daemon whose wall clock is set while it runs, and while it does not."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from relayd.worker.system import SystemClock
from tests.support.daemon import Daemon, a_daemon, eventually
from tests.support.ports import free_port

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says by how much the wall clock is wrong; the monotonic one is left alone."""
    if not LIBRARIES:
        pytest.skip("needs libfaketime")
    file = tmp_path / "clock"
    file.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARIES[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return file


def days_off(daemon: Daemon) -> int:
    """By how much the clock of the daemon was wrong when it last told something."""
    told = datetime.fromisoformat(daemon.log_lines()[-1]["ts"])
    return round((told - SystemClock().now()) / timedelta(days=1))


def try_again(daemon: Daemon) -> str:
    """Have the one message tried once more; return its status after that."""
    before = daemon.rows()[0].attempts
    assert daemon.run("queue", "expedite", "--all").status == 0
    eventually(
        lambda: (row := daemon.rows()[0]).attempts > before and not row.leased, "it was tried again"
    )
    return daemon.rows()[0].status.value


def test_mail_of_seconds_ago_is_not_given_up(clock: Path, tmp_path: Path) -> None:
    """S-10, F-30, F-31: not after a jump, not after a downtime, not after a jump back."""
    with a_daemon(tmp_path, free_port()) as daemon:
        daemon.send("a@x.test")
        eventually(lambda: daemon.rows()[0].attempts, "it was tried")
        clock.write_text("+6d\n")
        assert try_again(daemon) == "deferred"
        assert days_off(daemon) == 6
        assert daemon.stop() == 0
        clock.write_text("+40d\n")
        daemon.up()
        assert try_again(daemon) == "deferred"
        assert days_off(daemon) == 40
        clock.write_text("-3650d\n")
        assert try_again(daemon) == "deferred"
        assert days_off(daemon) == -3650

"""How far a run is, and that there is one at a time."""

import os
from pathlib import Path

import pytest

from relayd.doctor.running import Run, is_running, read_run, take_turn, write_run
from relayd.errors import RelaydError, StartError
from relayd.policy.doctor.finding import Check, Finding, Level
from tests.support.clock import START

RUN = Run(
    at=START,
    by="anna (console)",
    quick=True,
    steps=("the daemon", "this machine"),
    done=1,
    findings=[Finding(check=Check.DAEMON, subject="x", level=Level.WARN, reason="y", remedy="z")],
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None
    write_run(tmp_path, RUN)
    assert read_run(tmp_path) == RUN
    assert (tmp_path / "doctor-run.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ts": 1}', "nonsense"])
def test_what_is_no_run_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "doctor-run.json").write_text(text)
    assert read_run(tmp_path) is None


@pytest.mark.parametrize(
    ("done", "trouble", "has_ended"),
    [(0, "", False), (1, "", False), (2, "", True), (0, "x", True)],
)
def test_when_a_run_has_ended(done: int, trouble: str, *, has_ended: bool) -> None:
    run = Run(at=START, by="x", quick=False, steps=("a", "b"), done=done, trouble=trouble)
    assert run.has_ended is has_ended


def test_there_is_one_at_a_time_until_every_copy_is_closed(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    first = take_turn(tmp_path)
    inherited = os.dup(first)
    os.close(first)
    assert is_running(tmp_path)
    with pytest.raises(RelaydError, match="already"):
        take_turn(tmp_path)
    os.close(inherited)
    assert not is_running(tmp_path)
    os.close(take_turn(tmp_path))


def test_a_folder_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "doctor-run.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match=r"doctor-run\.lock"):
        take_turn(tmp_path)
    assert not is_running(tmp_path)

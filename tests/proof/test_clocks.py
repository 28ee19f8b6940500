"""The short form of the clocks of `python -m tests.proof`: each change once, and that a planted fault is found."""

import time
from pathlib import Path
from subprocess import run

import pytest

from tests.proof import clocks
from tests.proof.shim import Shared, environment, library, needs_compiler

pytestmark = [
    pytest.mark.proof,
    needs_compiler,
    pytest.mark.usefixtures("unmeasured"),
    pytest.mark.timeout(300),
]


def test_nothing_is_lost_or_doubled_when_clocks_are_set(tmp_path: Path) -> None:
    found = clocks.change_often(tmp_path, times=len(clocks.Change))
    assert not found.wrong
    assert found.changes.total() == len(clocks.Change)


@pytest.mark.slow
def test_a_lease_that_is_believed_for_ever_is_found(tmp_path: Path) -> None:
    """Else each change of the other test would prove nothing of leases."""
    assert clocks.control(tmp_path, "settle without epoch").wrong


@pytest.mark.parametrize("off", [7_200_000_000_001, -7_200_000_000_001], ids=["later", "earlier"])
def test_a_process_has_its_own_clocks(tmp_path: Path, off: int) -> None:
    """Each clock by itself, and the others are right."""
    looked_at = environment(tmp_path, tmp_path / "lock")
    shared = Shared(tmp_path / "lock")
    shared["real"] = off
    told = run(
        ["/usr/bin/env", "date", "+%s"],
        env={**looked_at, "LD_PRELOAD": str(library()), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
    ).stdout
    shared.close()
    assert abs(int(told) - time.time() - off / 1e9) < 60  # noqa: TID251 -- of this machine

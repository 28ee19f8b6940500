"""The short form of the kills of `python -m tests.proof`: some points, and that a planted fault is found."""

import re
from pathlib import Path

import pytest

from tests.proof import kills
from tests.proof.points import POINTS
from tests.proof.shim import needs_compiler

pytestmark = [
    pytest.mark.proof,
    needs_compiler,
    pytest.mark.usefixtures("unmeasured"),
    pytest.mark.timeout(180),
]
_SOME = (
    "before the sync of a content file",
    "after the sync of a commit",
    "after the next hop's reply to the dot",
    "in settle, before its commit",
    "in a reload, a worker begins",
    "in a backup, before its name",
    "in a migration, between its writes",
)


def test_nothing_is_lost_where_a_process_is_killed(tmp_path: Path) -> None:
    some = [point for point in POINTS if point.name in _SOME]
    found = kills.kill_often(tmp_path, kills=len(some), points=some)
    assert not found.wrong
    assert found.kills.total() == len(_SOME)
    assert found.acked > 50


def test_a_fault_that_was_put_in_is_found(tmp_path: Path) -> None:
    assert kills.control(tmp_path, "a reply before the commit").wrong


def test_points_have_names_of_their_own() -> None:
    names = [point.name for point in POINTS]
    assert len({*names}) == len(names)
    assert all(
        re.fullmatch(r"[wWsSoOnNuUtTR]", step.operation) for each in POINTS for step in each.steps
    )

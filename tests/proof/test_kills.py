"""The short form of the kills of `python -m tests.proof`: some points, and that a planted fault is found."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.proof import kills
from tests.proof.modes import Mode
from tests.proof.points import POINTS, points_of
from tests.proof.shim import needs_compiler
from tests.support.postgres import needs_postgres

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


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        (
            Mode.CUT_THROUGH,
            (
                "before the next hop's 250 is told",
                "after the next hop's refusal",
                "before the refusal is told",
            ),
        ),
        pytest.param(
            Mode.POSTGRES,
            (
                "after new mail has gone to the server",
                "in settle, after its statement",
                "in a start, between two statements",
            ),
            marks=needs_postgres,
        ),
    ],
    ids=["cut-through", "PostgreSQL"],
)
def test_nor_in_other_modes(tmp_path: Path, mode: Mode, names: Sequence[str]) -> None:
    some = [point for point in points_of(mode) if point.name in names]
    found = kills.kill_often(tmp_path, kills=len(names), mode=mode, points=some)
    assert not found.wrong
    assert found.kills.total() == len(names)
    assert found.acked > 20


def test_a_fault_that_was_put_in_is_found(tmp_path: Path) -> None:
    assert kills.find(tmp_path, kills.CONTROLS[0]).wrong


def test_points_have_names_of_their_own() -> None:
    names = [point.name for point in POINTS]
    assert len({*names}) == len(names)
    assert all(
        re.fullmatch(r"[wWsSoOnNuUtTRqQA]", step.operation)
        for each in POINTS
        for step in each.steps
    )

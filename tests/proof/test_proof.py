"""The short form of `python -m tests.proof`: a few cuts and faults of each kind, and that planted ones are found."""

import random  # noqa: TID251 -- seeded
from pathlib import Path

import pytest

from tests.proof import calls, cut_migration
from tests.proof.disk import Disk, Loss
from tests.proof.power_cuts import cut_often
from tests.proof.record import Kind, Step
from tests.proof.shim import needs_compiler

pytestmark = [
    pytest.mark.proof,
    needs_compiler,
    pytest.mark.usefixtures("unmeasured"),
    pytest.mark.timeout(180),
]


@pytest.mark.parametrize("is_direct", [False, True], ids=["smarthost", "direct"])
def test_nothing_is_lost_in_a_power_cut(*, is_direct: bool) -> None:
    found = cut_often(cuts=20, states=2, starts=3, messages=6, is_direct=is_direct, seconds=40)
    assert found.cuts >= 5
    assert not found.wrong


def test_a_migration_goes_on_after_a_power_cut(tmp_path: Path) -> None:
    assert not cut_migration.cut_often(tmp_path, cuts=2).wrong


@pytest.mark.parametrize(
    "fault", ["commits that are not synced", "content that goes with the first recipient"]
)
def test_a_fault_that_was_put_in_is_found(fault: str) -> None:
    assert cut_often(cuts=120, states=3, messages=6, fault=fault, until_wrong=True).wrong


@pytest.mark.parametrize("is_direct", [False, True], ids=["smarthost", "direct"])
def test_a_system_call_that_fails_loses_nothing(tmp_path: Path, *, is_direct: bool) -> None:
    (folder := tmp_path / "first").mkdir()
    with calls.a_world(folder, is_direct=is_direct) as world:
        some = random.Random(1).sample(calls.faults(world), 3)
    found = calls.try_all(tmp_path, some, is_direct=is_direct, seconds=60)
    assert not found.wrong
    assert found.tried == len(some)


CHANCE = random.Random(1)


def after(*steps: Step, loss: Loss = Loss.ALL) -> dict[str, bytes | None]:
    disk = Disk("/q")
    for step in steps:
        disk.follow(step)
    found = disk.after_a_cut(loss, CHANCE)
    return {path: None if content is None else bytes(content) for path, content in found.items()}


MADE = Step(Kind.CREATE, inode=7, path="/q/a")
WRITTEN = Step(Kind.WRITE, inode=7, data=b"octets")
FILE = (Step(Kind.SYNC_BEGINS, inode=7, offset=1), Step(Kind.SYNC_ENDS, offset=1))
NAMES = (Step(Kind.NAMES_SYNC_BEGINS, path="/q", offset=2), Step(Kind.SYNC_ENDS, offset=2))
MOVED = Step(Kind.RENAME, path="/q/a", target="/q/b")


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        pytest.param([MADE, WRITTEN], {}, id="nothing-synced"),
        pytest.param([MADE, WRITTEN, *FILE], {}, id="its-name-is-not-synced"),
        pytest.param([MADE, WRITTEN, *NAMES], {"/q/a": b""}, id="its-content-is-not-synced"),
        pytest.param([MADE, WRITTEN, *FILE, *NAMES], {"/q/a": b"octets"}, id="both"),
        pytest.param(
            [MADE, FILE[0], WRITTEN, FILE[1], *NAMES],
            {"/q/a": b""},
            id="written-while-it-is-synced",
        ),
        pytest.param([MADE, WRITTEN, *FILE, *NAMES, MOVED], {"/q/a": b"octets"}, id="moved"),
        pytest.param(
            [MADE, WRITTEN, *FILE, *NAMES, MOVED, *NAMES],
            {"/q/b": b"octets"},
            id="moved-and-synced",
        ),
        pytest.param(
            [MADE, WRITTEN, *FILE, *NAMES, Step(Kind.UNLINK, path="/q/a")],
            {"/q/a": b"octets"},
            id="removed",
        ),
    ],
)
def test_the_disk_forgets_what_was_not_synced(
    steps: list[Step], left: dict[str, bytes | None]
) -> None:
    found = after(*steps)
    assert found.pop("/q") is None
    assert found == left


def test_what_was_not_synced_is_torn() -> None:
    """In pieces of 512 octets or more; each is there as a whole or not at all."""
    written = Step(Kind.WRITE, inode=7, data=b"\1" * 8192)
    seen = set()
    for _ in range(50):
        content = after(MADE, *FILE, *NAMES, written, loss=Loss.SOME)["/q/a"]
        assert content is not None
        pieces = [content[at : at + 512] for at in range(0, len(content), 512)]
        assert all(piece in {b"\1" * 512, bytes(512)} for piece in pieces)
        seen.add(sum(piece[0] for piece in pieces))
    assert len(seen) > 5

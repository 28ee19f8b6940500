"""When the disk of the queue counts as full, on figures that no disk has to have."""

import os
from pathlib import Path

import pytest

from relayd.store.disk import Disk

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("total", "free", "inodes", "free_inodes", "has_room", "is_short"),
    [
        pytest.param(100_000, 257, 1000, 500, True, False, id="enough"),
        pytest.param(100_000, 129, 1000, 500, True, True, id="above-the-reserve"),
        pytest.param(100_000, 127, 1000, 500, False, True, id="below-the-reserve"),
        pytest.param(200, 21, 1000, 500, True, False, id="small-disk-enough"),
        pytest.param(200, 11, 1000, 500, True, True, id="small-disk"),
        pytest.param(200, 9, 1000, 500, False, True, id="small-disk-below"),
        pytest.param(100_000, 5000, 1000, 150, True, True, id="few-inodes"),
        pytest.param(100_000, 5000, 1000, 50, False, True, id="no-inodes"),
        pytest.param(100_000, 5000, 0, 0, True, False, id="inodes-are-not-counted"),
    ],
)
def test_a_part_of_the_disk_is_kept_back(
    monkeypatch: pytest.MonkeyPatch,
    total: int,
    free: int,
    inodes: int,
    free_inodes: int,
    *,
    has_room: bool,
    is_short: bool,
) -> None:
    """F-10, F-14; in MiB. Before it is full it is short: then what can be spared goes."""

    def statvfs(_: str) -> os.statvfs_result:
        return os.statvfs_result(
            (MIB, MIB, total, free, free, inodes, free_inodes, free_inodes, 0, 255)
        )

    monkeypatch.setattr(os, "statvfs", statvfs)
    disk = Disk("/queue.db")
    assert disk.has_room(0.0) is has_room
    assert disk.is_short(0.5) is is_short


def test_it_is_looked_at_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def fail(path: str) -> os.statvfs_result:
        looks.append(path)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fail)
    disk = Disk(str(tmp_path))
    for now in (0.0, 0.5, 0.9, 1.0, 1.5):
        assert disk.has_room(now), "whoever writes will find out"
    assert len(looks) == 2

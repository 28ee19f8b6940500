"""When the disk of the queue counts as full, on figures that no disk has to have."""

import os
from pathlib import Path

import pytest

from relayd.store.disk import Disk
from tests.support.builders import a_message, settlements_of
from tests.support.stores import open_sqlite
from tests.support.workers import registered

MIB = 1024 * 1024


def a_disk(monkeypatch: pytest.MonkeyPatch, *figures: int, unused: int = 0) -> Disk:
    """One of these figures: octets in all and free, in MiB; inodes in all and free."""
    total, free, inodes, free_inodes = figures

    def statvfs(_: str) -> os.statvfs_result:
        return os.statvfs_result(
            (MIB, MIB, total, free, free, inodes, free_inodes, free_inodes, 0, 255)
        )

    monkeypatch.setattr(os, "statvfs", statvfs)
    return Disk("/queue.db", unused=lambda: unused * MIB)


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
    disk = a_disk(monkeypatch, total, free, inodes, free_inodes)
    assert disk.has_room(0.0) is has_room
    assert disk.has_room_for_files(0.2) is has_room
    assert disk.is_short(0.5) is is_short


@pytest.mark.parametrize(
    ("free", "unused", "free_inodes", "has_room", "for_files", "is_short"),
    [
        pytest.param(127, 0, 500, False, False, True, id="nothing-in-the-file"),
        pytest.param(127, 1, 500, False, False, True, id="both-are-what-is-kept-back"),
        pytest.param(127, 2, 500, True, False, True, id="more-than-that"),
        pytest.param(129, 200, 500, True, True, False, id="enough-of-both"),
        pytest.param(129, 100, 500, True, True, True, id="less-than-twice-of-it"),
        pytest.param(127, 9000, 500, True, False, True, id="the-disk-itself-is-short"),
        pytest.param(65, 9000, 500, True, False, True, id="half-of-it-is-on-the-disk"),
        pytest.param(64, 9000, 500, False, False, True, id="the-wal-needs-the-disk"),
        pytest.param(0, 9000, 500, False, False, True, id="the-disk-is-full"),
        pytest.param(127, 9000, 50, False, False, True, id="no-inodes"),
    ],
)
def test_what_the_queue_file_does_not_use_is_room_for_rows(
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    unused: int,
    free_inodes: int,
    *,
    has_room: bool,
    for_files: bool,
    is_short: bool,
) -> None:
    """Not for files, and not where the WAL would have no room; in MiB, of which 128 are kept back."""
    disk = a_disk(monkeypatch, 100_000, free, 1000, free_inodes, unused=unused)
    assert disk.has_room(0.0) is has_room
    assert disk.has_room_for_files(0.2) is for_files
    assert disk.is_short(0.5) is is_short


def test_on_a_small_disk_what_the_queue_file_does_not_use_is_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of what is kept back there is less than the WAL may take."""
    assert not a_disk(monkeypatch, 2000, 99, 1000, 500, unused=9000).has_room(0.0)
    assert a_disk(monkeypatch, 2000, 101, 1000, 500, unused=0).has_room(0.0)


async def test_what_a_purge_gives_back_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when new mail has taken it, it is none any more. The file is as long as before."""
    kept_back = 10 * MIB
    monkeypatch.setattr("relayd.store.disk._RESERVE", kept_back)
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "1")
    free = os.statvfs_result((1, 1, 10**12, 0, kept_back - MIB, 1000, 500, 500, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: free)

    async def has_room() -> bool:
        box.advance(2)
        await box.store.reap()  # any transaction
        return box.store.has_room()

    assert not await has_room()
    content = b"x" * 200_000 + b"\r\n"
    put = [
        await box.put(a_message("a@x.test", content=content), worker=worker, leased=True)
        for _ in range(10)
    ]
    for [work] in put:
        await box.store.settle(work.lease, settlements_of(work))
    assert await has_room(), "the content of what is relayed is deleted"
    length = (tmp_path / "queue.db").stat().st_size
    for _ in range(6):
        await box.put(a_message("a@x.test", content=content), worker=worker)
    assert not await has_room()
    assert (tmp_path / "queue.db").stat().st_size == length
    await box.close()


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

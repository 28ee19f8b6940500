"""What is made or renamed on the way of mail stays after a power cut: the folder above is synced."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from relayd.files import make_folder, rename, replace
from relayd.store import back_up
from relayd.supervisor.lock import make_directory
from tests.support.stores import open_sqlite


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files and folders that were synced, in their order."""
    found: list[Path] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return found


@pytest.mark.parametrize("make", [make_folder, make_directory])
def test_a_folder_is_made_durably(
    tmp_path: Path, synced: list[Path], make: Callable[[Path, int], None]
) -> None:
    make(tmp_path / "new", 0o755)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o755
    assert synced == [tmp_path]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path, synced: list[Path]) -> None:
    (tmp_path / "old").mkdir(mode=0o711)
    make_folder(tmp_path / "old", 0o700)
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o711
    assert synced == []


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file", 0o700)


def test_a_name_is_given_durably(tmp_path: Path, synced: list[Path]) -> None:
    (tmp_path / "a").write_text("x")
    rename(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "x"
    assert synced == [tmp_path]


def test_a_file_is_replaced_durably(tmp_path: Path, synced: list[Path]) -> None:
    replace(tmp_path / "a", "x", lambda _descriptor, _path: None)
    assert (tmp_path / "a").read_text() == "x"
    assert synced == [tmp_path / ".a.new", tmp_path]


async def test_a_backup_is_as_durable_as_its_queue(tmp_path: Path, synced: list[Path]) -> None:
    """Its folder has a name, too."""
    box = open_sqlite(tmp_path)
    synced.clear()
    folder = tmp_path / "copy"
    copy = back_up(f"sqlite:{tmp_path}/queue.db", folder)
    await box.close()
    assert synced[0] == tmp_path
    assert synced[-3:] == [folder / "queue.db.content", folder / "queue.db.part", folder]
    assert copy.exists()

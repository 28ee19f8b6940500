"""The mark of a folder of state: made once, the same for all who look."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from relayd.worker.installation import mark_of


def test_it_is_made_once_whoever_is_first(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        marks = set(threads.map(lambda number: mark_of(tmp_path, f"boot {number}"), range(40)))
    [mark] = marks
    assert len(mark) == 32
    assert [each.name for each in tmp_path.iterdir()] == ["installation"]


def test_each_folder_has_its_own(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert mark_of(one, "") != mark_of(two, "")


def test_where_none_can_be_kept_it_is_that_of_the_boot(tmp_path: Path) -> None:
    assert mark_of(tmp_path / "missing", "boot") == "boot"
    (tmp_path / "installation").mkdir()
    assert mark_of(tmp_path, "boot") == "boot"

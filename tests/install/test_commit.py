"""The commit that `relayd --version` names: in a clone, an archive of it, a wheel, and where it is not known."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from relayd.built_from import commit
from tests.support.small_clone import SmallClone

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def clone(tmp_path: Path) -> SmallClone:
    return SmallClone(tmp_path / "clone")


def _build(folder: Path, target: Path) -> Path:
    """Make a wheel or an sdist, as pip does; return it."""
    target.mkdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(target), "-t", target.name],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1700000000"},
        capture_output=True,
        check=True,
    )
    [built] = target.iterdir()
    return built


def test_a_clone_asks_git(clone: SmallClone) -> None:
    assert commit(clone.package) == clone.commit()


def test_changed_files_are_not_the_commit(clone: SmallClone) -> None:
    (clone.package / "__init__.py").write_text("changed\n")
    assert commit(clone.package) == f"{clone.commit()}-dirty"


def test_a_hook_of_git_names_no_other_repository(
    clone: SmallClone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert commit(clone.package) == clone.commit()


def test_an_archive_has_it_without_git(clone: SmallClone, tmp_path: Path) -> None:
    archive, there = tmp_path / "a.tar", tmp_path / "there"
    clone.git("archive", "-o", str(archive), "HEAD")
    with tarfile.open(archive) as tar:
        _unpack(tar, there)
    assert commit(there / "relayd") == clone.commit()


def test_the_wheel_has_it_also_by_way_of_the_sdist(clone: SmallClone, tmp_path: Path) -> None:
    with tarfile.open(_build(clone.folder, tmp_path / "sdist")) as sdist:
        _unpack(sdist, tmp_path)
    [unpacked] = tmp_path.glob("relayd-*")
    wheel = _build(unpacked, tmp_path / "wheel")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert commit(tmp_path / "site/relayd") == clone.commit()


@pytest.mark.parametrize("text", ["", "\n", "no commit\n", "$Format:%H$\n", "\xff"])
def test_what_is_not_known_is_not_named(clone: SmallClone, text: str) -> None:
    """An environment in the repository of another project is not of that project's commit."""
    site = clone.folder / "venv/site-packages/relayd"
    shutil.copytree(clone.package, site)
    (site / "commit.txt").write_text(text, encoding="latin-1")
    assert commit(site) is None


def test_without_git_or_the_file_there_is_none(
    clone: SmallClone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(clone.package) is None
    (clone.package / "commit.txt").unlink()
    assert commit(clone.package) is None


def test_built_twice_it_is_the_same_file(clone: SmallClone, tmp_path: Path) -> None:
    other = tmp_path / "other"
    clone.git("clone", "--quiet", ".", str(other))
    for path in other.rglob("*"):
        if path.is_file():
            path.chmod(0o640)
    for target in ("wheel", "sdist"):
        first = _build(clone.folder, tmp_path / target)
        shutil.rmtree(again := tmp_path / "again", ignore_errors=True)
        again.mkdir()
        second = _build(other, again / target)
        assert first.read_bytes() == second.read_bytes()


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack it by the safe filter, which Python has from 3.11.4 on; Debian 12 has 3.11.2."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)

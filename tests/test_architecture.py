"""The pages name only paths that exist, the map of the packages is that of the import contract, and marked tests are where they belong."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TOP = {path.name for path in ROOT.iterdir()}
PACKAGES = {path.name for path in (ROOT / "relayd").iterdir() if path.is_dir()}


def named_in(page: Path) -> Iterator[str]:
    """Paths of the repository, or from within `relayd/`, in code; a NAME stands for others."""
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())
    for code in re.findall(r"`([^`]+)`", text):
        for word in code.split():
            path = re.fullmatch(r"([\w.*-]+)/[\w./*-]*", word)
            if path and path[1] in TOP | PACKAGES and not re.search(r"[A-Z]{3,}", word):
                yield word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_exists(page: Path) -> None:
    for name in named_in(page):
        assert any([*ROOT.glob(name), *(ROOT / "relayd").glob(name)]), name


def test_paths_are_found() -> None:
    assert len(list(named_in(ROOT / "CONTRIBUTING.md"))) > 40


def test_the_map_is_the_import_contract() -> None:
    """Every package and module, from the top down."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    page = (ROOT / "docs/architecture.md").read_text().partition("## The map")[2]
    rows = re.findall(r"(?m)^\| `relayd/(\w+)(?:\.py|/)` \|", page)
    assert rows == [name for layer in layers for name in layer.split(" | ")]


@pytest.mark.parametrize(("mark", "folder"), [("interop", "interop"), ("browser", "console")])
def test_marked_tests_are_where_they_are_looked_for(mark: str, folder: str) -> None:
    """`.ci/run` looks for them in one folder: to collect all tests takes half a minute."""
    tests = ROOT / "tests"
    marked = re.compile(rf"\bmark\.{mark}\b|\bsupport\.{mark}s\b")
    found = {path for path in tests.rglob("test_*.py") if marked.search(path.read_text())}
    assert {path.relative_to(tests).parts[0] for path in found} == {folder}


def test_a_bound_of_seconds_is_the_yardsticks() -> None:
    """A machine that is slow, or busy, or traced fails none: one place takes the time of the processor."""
    tests = ROOT / "tests"
    takes = re.compile(r"time\.(thread|process)_time\(\)")
    found = {
        path.relative_to(tests) for path in tests.rglob("*.py") if takes.search(path.read_text())
    }
    assert found == {Path("support/processor.py"), Path("unit/net/test_sts_fetch.py")}

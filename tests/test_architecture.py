"""The pages name only paths that exist, the map of the packages is that of the import contract, marked tests are where they belong, and
each statement of PostgreSQL is given as many parameters as it has.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
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


def asked_in(path: Path) -> Iterator[tuple[int, str, int]]:
    """Yield the statements that a module names or has in full: the line, the text, and with how many parameters it is asked."""
    names = vars(import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)))
    for call in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        if call.func.attr not in {"fetch", "value", "execute"} or not call.args:
            continue
        first, *others = call.args
        if any(isinstance(each, ast.Starred) for each in call.args):
            continue
        for node in (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,):
            text = node.value if isinstance(node, ast.Constant) else None
            text = names.get(node.id) if isinstance(node, ast.Name) else text
            if isinstance(text, str):
                yield call.lineno, text, len(others)


def test_each_statement_has_as_many_parameters_as_it_is_given() -> None:
    """Two changes that meet may each be right: one adds a parameter, the other asks once more."""
    seen = 0
    for path in sorted((ROOT / "relayd/store/postgres").glob("*.py")):
        for line, text, given in asked_in(path):
            wanted = max(map(int, re.findall(r"\$(\d+)", text)), default=0)
            assert given == wanted, f"{path.name}:{line}: {given} of {wanted} parameters"
            seen += 1
    assert seen > 100

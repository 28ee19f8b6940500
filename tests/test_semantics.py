"""`docs/semantics.md` defines every id that code, tests and pages cite, and none that nobody cites."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "semantics.md"
TEXT = PAGE.read_text()
_ID = r"(?:[SEAFT]|H[A-Z])-\d\d+"
CITED = re.compile(rf"\b{_ID}\b")
RANGE = re.compile(rf"\b({_ID}) to ({_ID})\b")
DEFINED = re.findall(rf"(?m)^\| ({_ID}) \| [^|]+ \| [^|]+ \|", TEXT.partition("## Ids that no")[0])
UNTESTED = dict(re.findall(rf"(?m)^\| ({_ID}) \| (.+) \|$", TEXT.partition("## Ids that no")[2]))


def sources(*folders: str | Path) -> Iterator[Path]:
    """Text files of a working copy, or of a copy without git."""
    for folder in folders:
        top = ROOT / folder
        for path in [top] if top.is_file() else top.rglob("*"):
            hidden = "__pycache__" in path.parts or path.suffix in {".pyc", ".eml"}
            if path.is_file() and not hidden and path not in {PAGE, Path(__file__)}:
                yield path


def cited_in(*folders: str | Path) -> dict[str, str]:
    """Each id that is cited, with one file that does; both ends of a range, and all between."""
    found: dict[str, str] = {}
    for path in sources(*folders):
        text = path.read_bytes().decode(errors="replace")
        name = str(path.relative_to(ROOT))
        found |= dict.fromkeys(CITED.findall(text), name)
        for first, last in RANGE.findall(text):
            kind, _, begin = first.partition("-")
            end = last.partition("-")[2]
            found |= {f"{kind}-{n:02d}": name for n in range(int(begin), int(end) + 1)}
    return found


IN_TESTS = cited_in("tests")
EVERYWHERE = IN_TESTS | cited_in(
    "relayd", "docs", "benchmarks", "etc", "systemd", ".ci", *ROOT.glob("*.md")
)


def test_every_cited_id_is_defined() -> None:
    assert len(EVERYWHERE) > 150
    assert not {each: file for each, file in EVERYWHERE.items() if each not in DEFINED}


def test_every_id_is_defined_once() -> None:
    assert sorted(DEFINED) == sorted(set(DEFINED))


def test_every_id_is_cited() -> None:
    """By a test; else the page says what shows it, or why nothing does."""
    assert set(DEFINED) - set(IN_TESTS) == set(UNTESTED)


def test_no_other_kind_of_code_is_cited() -> None:
    """A code means nothing outside a page that defines it."""
    looks_like = re.compile(r"[ (](?!RFC-|UTF-|ISO-|SHA-|AES-|MD-|ADR-)([A-Z]{1,3}-\d\d)[,.:;) ]")
    for path in sources("relayd"):
        found = set(looks_like.findall(path.read_text())) - set(DEFINED)
        assert not found, path


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", TEXT))))
def test_every_named_test_exists(name: str) -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    assert any(f"def {name}(" in path.read_text() for path in files)

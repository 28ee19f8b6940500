"""What relayd comes with is known, may be handed on, and is what the lock file says."""

import runpy
from importlib.metadata import distributions
from typing import Any

import pytest

from tests.support.daemon import ROOT

SBOM = runpy.run_path(str(ROOT / "packaging/sbom.py"))
AUDIT = runpy.run_path(str(ROOT / "packaging/audit"), run_name="audit")
WEAK = {"name": "a", "version": "1", "vulns": [{"id": "CVE-2026-1"}]}
SOUND = {"name": "b", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return {SBOM["canonical"](each.name): each for each in distributions()}


@pytest.fixture(scope="module")
def pinned() -> dict[str, tuple[str, list[str]]]:
    return dict(SBOM["read_lock"]((ROOT / "packaging/requirements.lock").read_text()))


def test_the_lock_is_read_whole(pinned: dict[str, tuple[str, list[str]]]) -> None:
    text = (ROOT / "packaging/requirements.lock").read_text()
    assert sum(len(hashes) for _, hashes in pinned.values()) == text.count("--hash=")
    assert len(pinned) == text.count("==")
    assert "hatchling" not in pinned


def test_every_package_may_be_handed_on(
    found: dict[str, Any], pinned: dict[str, tuple[str, list[str]]]
) -> None:
    licences = {name: SBOM["licence_of"](found[name]) for name in pinned}
    assert {name: each for name, each in licences.items() if not SBOM["is_welcome"](each)} == {}


@pytest.mark.parametrize(
    ("licence", "is_welcome"),
    [
        ("MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only", False),
        ("MIT AND AGPL-3.0-or-later", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_which_licences_are_welcome(licence: str, *, is_welcome: bool) -> None:
    assert SBOM["is_welcome"](licence) is is_welcome


def test_the_bill_names_each_package_and_the_libraries_inside(
    found: dict[str, Any], pinned: dict[str, tuple[str, list[str]]]
) -> None:
    if "relayd" not in found:
        pytest.skip("relayd is not installed here")
    licences = {name: SBOM["licence_of"](found[name]) for name in pinned}
    bill = SBOM["bill"](pinned, licences, found)
    assert {each["name"] for each in bill["components"]} == set(pinned)
    inside = [one["name"] for each in bill["components"] for one in each.get("components", [])]
    assert inside == ["sqlite", "openssl"]
    references = {each["ref"] for each in bill["dependencies"]}
    assert references == {each["purl"] for each in bill["components"]} | {
        bill["metadata"]["component"]["purl"]
    }
    assert all(below in references for each in bill["dependencies"] for below in each["dependsOn"])
    assert bill == SBOM["bill"](pinned, licences, found)


@pytest.mark.parametrize(
    ("epoch", "date"), [("1764547200", "2025-12-01T00:00:00Z"), ("", None), (None, None)]
)
def test_the_date_of_the_bill_is_that_of_the_commit_or_none(
    found: dict[str, Any],
    pinned: dict[str, tuple[str, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    epoch: str | None,
    date: str | None,
) -> None:
    """The image had 1970 in it."""
    if "relayd" not in found:
        pytest.skip("relayd is not installed here")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    if epoch is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    licences = {name: SBOM["licence_of"](found[name]) for name in pinned}
    assert SBOM["bill"](pinned, licences, found)["metadata"].get("timestamp") == date


@pytest.mark.parametrize(
    ("answers", "says", "status"),
    [
        ([WEAK, SOUND], "a 1: CVE-2026-1", 1),
        ([WEAK, UNKNOWN], "a 1: CVE-2026-1", 1),
        ([SOUND], "1 packages: no known weakness", 0),
        ([SOUND, UNKNOWN], "not audited: the data was reached for 1 of 2 packages", 0),
        ([], "not audited: the data was reached for 0 of 0 packages", 0),
    ],
)
def test_no_answer_is_no_clean_bill(answers: list[dict[str, Any]], says: str, status: int) -> None:
    assert AUDIT["verdict"](answers) == (says, status)

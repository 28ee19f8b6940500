"""The committed document: it is what the code yields, and nothing of it goes unannounced."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / ".ci" / "openapi"))


def test_the_committed_document_is_what_the_code_yields() -> None:
    assert SCRIPT["main"]() == 0


def document(**fields: Any) -> dict[str, Any]:
    parameter = {"name": "tag", "in": "query"}
    return {
        "paths": {"/a": {"get": {"parameters": [parameter]}}},
        "components": {"schemas": {"A": {"properties": {"x": {}, "y": {}}}}},
        **fields,
    }


LOST = {
    "a field": document(components={"schemas": {"A": {"properties": {"x": {}}}}}),
    "a schema": document(components={"schemas": {}}),
    "a resource": document(paths={}),
    "a method": document(paths={"/a": {}}),
    "a parameter": document(paths={"/a": {"get": {"parameters": []}}}),
}


@pytest.mark.parametrize("after", LOST.values(), ids=LOST)
def test_what_goes_is_found(after: dict[str, Any]) -> None:
    assert SCRIPT["names"](document()) - SCRIPT["names"](after)
    assert not SCRIPT["names"](after) - SCRIPT["names"](document())


@pytest.mark.parametrize(
    ("text", "is_announced"),
    [
        ("## Unreleased\n\n- **Incompatible:** the API has no `x`.\n\n## 1.0\n", True),
        ("## Unreleased\n\n- **Incompatible:** the log has no `x`.\n\n## 1.0\n", False),
        ("## Unreleased\n\n- The API.\n\n## 1.0\n\n- **Incompatible:** the API.\n", False),
    ],
)
def test_what_goes_is_announced(text: str, *, is_announced: bool) -> None:
    assert SCRIPT["is_announced"](text) is is_announced


def test_every_operation_says_what_it_is_for() -> None:
    told = json.loads((ROOT / "docs" / "openapi.json").read_text())
    operations = [each for path in told["paths"].values() for each in path.values()]
    assert len(operations) > 10
    assert all(each["description"] for each in operations)

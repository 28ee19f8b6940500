"""What fuzzers found, and what led them through the most code: all of it still passes (docs/fuzzing.md)."""

from pathlib import Path

import pytest

from tests.fuzz.targets import CASES, NAMES, load


@pytest.mark.parametrize(
    ("target", "case"),
    [
        pytest.param(name, case, id=f"{name}-{case.name}")
        for name in NAMES
        for case in sorted((CASES / name).iterdir())
    ],
)
def test_a_case_still_passes(target: str, case: Path) -> None:
    load(target).check(case.read_bytes())


@pytest.mark.parametrize("target", NAMES)
def test_every_target_has_cases(target: str) -> None:
    """And words for the fuzzer, which libFuzzer wants short."""
    assert any((CASES / target).iterdir())
    assert all(0 < len(token) <= 700 for token in load(target).TOKENS)

"""The page on the standards names only proofs that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "rfc-coverage.md").read_text()


def test_every_named_dialog_exists() -> None:
    named = set(re.findall(r"`([a-z0-9-]+)\.smtp`", PAGE))
    assert named <= {path.stem for path in (ROOT / "tests" / "dialogs").glob("*.smtp")}


def test_every_named_test_exists() -> None:
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert set(re.findall(r"`(test_\w+)`", PAGE)) <= defined


def test_every_row_answers_yes_partial_or_no() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if re.match(r"\| \d", line)]
    assert len(rows) > 50
    assert not [row[1] for row in rows if not re.match(r" (yes|partial|no)\b", row[3])]

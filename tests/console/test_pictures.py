"""The pictures of `docs/console.md`: all are shown, and none is large."""

import re
from pathlib import Path

from tests.support.pictures import FOR_DOCS

DOCS = Path(__file__).parents[2] / "docs"
LIMIT = 60_000  # octets


def test_the_page_shows_each_picture_and_each_is_small() -> None:
    shown = re.findall(r"\]\(console/(.*?)\.png\)", (DOCS / "console.md").read_text())
    taken = [name for _, names in FOR_DOCS for name in names]
    files = {each.stem: each.stat().st_size for each in (DOCS / "console").glob("*.png")}
    assert sorted(shown) == sorted(taken) == sorted(files)
    assert [name for name, size in files.items() if size > LIMIT] == []

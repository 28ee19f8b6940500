"""`docs/states.md` has its diagrams from the tables in the code."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_is_as_the_tables_are() -> None:
    """`.ci/diagrams.py` writes it."""
    subprocess.run([sys.executable, ROOT / ".ci/diagrams.py", "--check"], check=True)

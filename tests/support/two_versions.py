"""Another version of relayd: a copy of the package with more steps of the schema, which runs as the installed one does."""

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import relayd

_HERE = Path(relayd.__file__).parent


def another_version(folder: Path, version: str, steps: Mapping[str, str]) -> Path:
    """Copy relayd into a folder of its own, as that version, with these steps: file name and text. Return the folder."""
    copy = folder / f"relayd-{version}"
    shutil.copytree(_HERE, copy / "relayd", ignore=shutil.ignore_patterns("__pycache__"))
    package = copy / "relayd/__init__.py"
    package.write_text(
        re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', package.read_text())
    )
    for name, text in steps.items():
        (copy / "relayd/store/postgres/schema" / name).write_text(text)
    return copy


def prefix_of(copy: Path) -> tuple[str, ...]:
    """Return the words that have `python -m relayd` run the copy."""
    return ("env", "-C", str(copy), f"PYTHONPATH={copy}")


def command_of(copy: Path) -> list[str]:
    """Return the words for a command line of the copy."""
    return [*prefix_of(copy), sys.executable, "-m", "relayd"]

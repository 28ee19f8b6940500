"""Writes the commit into wheels and sdists: what `relayd --version` names (relayd/built_from.py)."""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts a filled-in `relayd/commit.txt` in the place of the one of the clone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # runs in the clone
        package = Path(self.root, "relayd")
        commit = runpy.run_path(str(package / "built_from.py"))["commit"](package)
        self._folder = tempfile.TemporaryDirectory()
        filled = Path(self._folder.name, "commit.txt")
        filled.write_text(f"{commit or ''}\n", encoding="ascii")
        build_data["force_include"][str(filled)] = "relayd/commit.txt"

"""A repository with as much of relayd as says its version, and is built: tests change it and commit."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import relayd

ROOT = Path(__file__).parent.parent.parent
_PACKAGE = Path(relayd.__file__).parent
_FILES = ("pyproject.toml", "README.md", "LICENSE", "packaging/build_hook.py")
_SOURCES = ("__init__.py", "built_from.py", "commit.txt")


class SmallClone:
    """A repository of git in a folder of its own, with one commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
            "targets"
        ]["wheel"]
        for name in (*_FILES, *wheel.get("force-include", ())):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
        for name in _SOURCES:
            target = folder / "relayd" / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(_PACKAGE / name, target)
        shutil.copyfile(ROOT / ".gitattributes", folder / ".gitattributes")
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "all: begin")

    @property
    def package(self) -> Path:
        return self.folder / "relayd"

    def git(self, *arguments: str) -> str:
        """Run git there, with nobody's settings; return what it prints."""
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        nobodys = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(
            ["git", "-C", str(self.folder), *who, *arguments],
            env={"PATH": os.environ["PATH"], **nobodys},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self) -> str:
        """Return the commit it is at, as relayd names it."""
        return self.git("rev-parse", "HEAD")[:12]

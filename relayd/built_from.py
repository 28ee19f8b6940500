"""Which commit this code is: what `relayd --version` names beside the version.

Owns `relayd/commit.txt`, which has the commit in whatever is made of a clone: `git archive` fills it in, and so does
`packaging/build_hook.py` for a wheel or an sdist. In a clone it has none, and git is asked.

Invariant: a commit is named only if the code is of it; where that is not known, none is.
"""

import os
import re
import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parent
_SHORT = 12  # hex digits: enough to find one commit among millions
_COMMIT = re.compile(rf"([0-9a-f]{{{_SHORT}}})[0-9a-f]*(-dirty)?")
_IN_A_CLONE = "$Format"  # what the file begins with until it is filled in


def commit(package: Path = _PACKAGE) -> str | None:
    """Return the commit of a package folder, with "-dirty" after it if files were changed; None if it is unknown."""
    try:
        text = (package / "commit.txt").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    if text.startswith(_IN_A_CLONE):
        # A virtual environment may be inside another project's repository, which says nothing about us.
        text = _from_git(package.parent) if (package.parent / ".git").exists() else ""
    found = _COMMIT.fullmatch(text.strip())
    return f"{found[1]}{found[2] or ''}" if found else None


def _from_git(clone: Path) -> str:
    ask = ["git", "-C", str(clone), "describe", "--always", "--exclude=*", "--dirty", "--abbrev=40"]
    # Inside a hook of git its variables name the repository of the hook.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 -- nothing in it is from outside
            ask, env=environment, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""

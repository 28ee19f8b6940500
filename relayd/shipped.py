"""Files that come with relayd besides its code: pages of the docs, units of systemd.

They are in the clone, and in a wheel below `relayd/from_clone`; `pyproject.toml` says which.
"""

from pathlib import Path

from relayd.errors import RelaydError

_PACKAGE = Path(__file__).parent
_PLACES = (_PACKAGE / "from_clone", _PACKAGE.parent)


def shipped(name: str) -> str:
    """Return the text of a file by its path in the clone, such as `docs/events.md`. Raises RelaydError."""
    for place in _PLACES:
        if (file := place / name).is_file():
            return file.read_text(encoding="utf-8")
    raise RelaydError(f"{name} did not come with this relayd: install it again")

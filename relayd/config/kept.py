"""The settings of now, for who asks often: read anew when one of their files has changed.

To read and check them takes some milliseconds, nearly all of the CPU of a page that shows them.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from relayd.config.load import load
from relayd.config.overlay import overlay_in
from relayd.config.rules import FOLDER
from relayd.settings import Settings

_State = tuple[str, int, int, int, int]  # of a file: its name, which, how long, since when


class KeptSettings:
    """The settings without the secrets that they name, as `load` reads them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder: str | None = None  # that has what was set on the console
        self._kept: tuple[list[_State], Settings] | None = None

    def read(self) -> Settings:
        """Return what the files say now. Raises ConfigError with every mistake."""
        # Looked at first: a change from here on leaves another state than this.
        states = list(self._states())
        if self._kept is None or self._kept[0] != states:
            settings = load(self._path, with_secrets=False)
            self._folder = settings.store.folder
            self._kept = states, settings
        return self._kept[1]

    def _states(self) -> Iterator[_State]:
        paths = [Path(self._path), *_in(Path(self._path).parent / FOLDER)]
        if self._folder is not None:
            paths.append(overlay_in(Path(self._folder)))
        for path in paths:
            with suppress(OSError):  # what is not there has no state, which is one as well
                found = path.stat()
                yield str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _in(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # there need be no rules
        return []

"""A terminal for a command that runs in this process: as wide as wanted, and what it shows."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def a_screen(
    monkeypatch: pytest.MonkeyPatch, *, columns: int = 80, lines: int = 24, colours: bool = False
) -> Iterator[Screen]:
    """Let standard output be a terminal of so many columns and lines."""
    screen = Screen()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", screen)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("LINES", str(lines))
        patch.setenv("TERM", "xterm" if colours else "dumb")
        patch.delenv("NO_COLOR", raising=False)
        yield screen

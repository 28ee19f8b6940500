"""How far a command is: one line on a terminal, which is gone when the command goes on.

Nothing is shown where standard error is no terminal, or one that cannot take a line back. A line is never wider
than the screen: what wraps would stay. What is written goes past click, which leaves codes out without colours.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from relayd.cli.table import cut_line, has_screen, screen_width

_BEGIN, _REST_OF_LINE = "\r", "\x1b[K"


class Progress:
    """The line."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_watched = is_wanted and sys.stderr.isatty() and has_screen()

    def show(self, text: str) -> None:
        """Put `text` in the place of what is shown."""
        if self._is_watched:
            sys.stderr.write(f"{_BEGIN}{cut_line(text, screen_width() - 1)}{_REST_OF_LINE}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Show nothing."""
        self.show("")


@contextmanager
def progress(*, is_wanted: bool = True) -> Iterator[Progress]:
    """Give a line to show how far it is; it is taken back at the end, whichever way that comes."""
    line = Progress(is_wanted=is_wanted)
    try:
        yield line
    finally:
        line.clear()

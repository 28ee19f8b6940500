"""Something shown again and again, on a fresh screen each time."""

import itertools
import sys
import time
from collections.abc import Callable

import click

from relayd.cli.table import has_screen

_WATCH_EVERY = 2.0  # seconds


def repeat(
    draw: Callable[[], object],
    *,
    rounds: int | None,
    every: float = _WATCH_EVERY,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Call `draw` on a fresh screen, `every` so many seconds, `rounds` times or until ^C."""
    try:
        for number in itertools.count(1):
            if has_screen():
                click.clear()  # nothing happens in a pipe
            draw()
            sys.stdout.flush()
            if number == rounds:
                return
            pause(every)
    except KeyboardInterrupt:
        return

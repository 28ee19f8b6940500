"""Something shown again and again, on a fresh screen each time."""

import itertools
import sys
import time
from collections.abc import Callable

import click

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
            click.clear()  # nothing happens where there is no screen
            draw()
            sys.stdout.flush()
            if number == rounds:
                return
            pause(every)
    except KeyboardInterrupt:
        return

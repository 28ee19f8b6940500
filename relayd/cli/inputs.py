"""Files that a command reads: by name, `-` for standard input, or all below a folder.

On a terminal a bar shows how far it is, as soon as there are many.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from relayd.cli.output import printable
from relayd.cli.progress import progress
from relayd.explain.pointer import pointer

STANDARD = "-"
_BAR = 30  # cells
_OFTEN = 0.1  # seconds between two looks of the bar


@dataclass(frozen=True, slots=True)
class Input:
    """What was read, or why it could not be."""

    name: str
    octets: bytes = b""
    trouble: str = ""


def read_inputs(names: Sequence[str]) -> Iterator[Input]:
    """Read what is named, one after another. A folder stands for its files, sorted, hidden ones left out."""
    files = [file for name in names for file in _files(name)]
    shown = 0.0
    with progress(is_wanted=len(files) > 1) as line:
        for number, name in enumerate(files):
            if time.monotonic() - shown >= _OFTEN:
                shown = time.monotonic()
                line.show(_bar(number, len(files), name))
            found = _read(name)
            if sys.stdout.isatty():
                line.clear()
            yield found


def say_unreadable(each: Input) -> None:
    """Print why one could not be read."""
    told = f"relayd: {each.name}: {each.trouble}{pointer(os.EX_NOINPUT)}"
    print(printable(told), file=sys.stderr)


def _files(name: str) -> Iterator[str]:
    if name == STANDARD or not Path(name).is_dir():
        yield name
        return
    for folder, below, files in os.walk(name):
        below[:] = sorted(each for each in below if not each.startswith("."))
        for each in sorted(files):
            path = Path(folder, each)
            if not each.startswith(".") and path.is_file():
                yield str(path)


def _read(name: str) -> Input:
    try:
        octets = sys.stdin.buffer.read() if name == STANDARD else Path(name).read_bytes()
    except OSError as error:
        return Input(name, trouble=error.strerror or str(error))
    return Input(name, octets)


def _bar(done: int, count: int, name: str) -> str:
    full = _BAR * done // count
    return f"  [{'#' * full}{' ' * (_BAR - full)}] {done} of {count}  {printable(name)}"

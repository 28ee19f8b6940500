"""A change of the console that is being tried: `console.trial.toml` beside `console.toml`, until the daemon runs with it.

Owns that file. Who tries a change holds it by a lock, which ends with the process. So a change whose process died
counts no more, and is dropped at the next start.

Invariant: `console.toml` has only what the daemon ran with.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from relayd.config.overlay import Overlay, overlay_in, trouble, write_overlay
from relayd.errors import kind_of
from relayd.file_access import unwritable
from relayd.files import rename

_NAME = "console.trial.toml"


def held_trial(overlay: Path) -> Path | None:
    """Return where the change is that is tried now, beside the file `overlay`; None: there is none."""
    path = overlay.with_name(_NAME)
    with suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return path
    return None


def drop_trial(folder: Path) -> Path | None:
    """Drop a change whose process died before the daemon ran with it; return where it was in the folder."""
    overlay = overlay_in(folder)
    path = overlay.with_name(_NAME)
    if held_trial(overlay) is not None:
        return None
    try:
        path.unlink()
    except OSError:  # nobody reads it all the same
        return None
    return path


@contextmanager
def trying(path: Path, overlay: Overlay) -> Iterator[Callable[[], None]]:
    """Write what is to be in the file `path` beside it; give what puts it in its place. Raises ConfigError.

    What is not in its place by the end of the context is dropped.
    """
    trial = path.with_name(_NAME)

    def hold(descriptor: int) -> None:
        """Before the file has its name, so that nobody sees it without the lock."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        held.callback(os.close, os.dup(descriptor))

    with ExitStack() as held:
        write_overlay(trial, overlay, hold)
        held.callback(_drop, trial)
        yield partial(_put, trial, path)


def _put(trial: Path, path: Path) -> None:
    try:
        rename(trial, path)
    except OSError as error:
        raise trouble(
            path, f"it cannot be written: {unwritable(error, path)}", kind_of(error)
        ) from error


def _drop(trial: Path) -> None:
    with suppress(OSError):  # nobody holds it from here on
        trial.unlink()

"""What was set on the console: `console.toml` beside the queue, laid over the settings file.

Owns that file. It has few keys, whatever is written in it: those of `CHANGEABLE` that `console.may_change` names.
Each is kept with what the settings file said when it was set.

Invariant: the later change counts. A key that the settings file says otherwise by now was changed there later, and
counts as it is there. What the environment says counts before both.
"""

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path

from relayd.config.environment import Applied
from relayd.config.mistakes import lookup
from relayd.config.model import CHANGEABLE
from relayd.config.peek import DEFAULT_STORE
from relayd.errors import ConfigError, Mistake, kind_of
from relayd.file_access import unwritable
from relayd.files import replace
from relayd.store.url import is_plain, state_folder

_NAME = "console.toml"
_MODE = 0o640
_HEAD = """\
# What was set on the settings page of the console. relayd writes this file, and lays it over the settings file.
# `to` counts as long as the settings file still says what is in `over`; without `over` it said nothing.
# `relayd config set` and `relayd config unset` take a key out of here.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """A key that was set on the console."""

    to: bool | str
    over: bool | str | None  # what the settings file said; None: nothing


Overlay = Mapping[str, Laid]


def overlay_path(data: Mapping[str, object]) -> Path | None:
    """Return where the file is, by what settings file and environment say; None if that is wrong."""
    url = lookup(data, ("store", "url")) or DEFAULT_STORE
    written = lookup(data, ("store", "folder")) or ""
    if not (isinstance(url, str) and is_plain(url) and isinstance(written, str)):
        return None
    return overlay_in(state_folder(url, written))


def overlay_in(folder: Path) -> Path:
    return folder / _NAME


def read_overlay(path: Path | None) -> Overlay:
    """Return what was set on the console, by the file at `path` (as of `overlay_path`). Raises ConfigError."""
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_bytes().decode())
        return {
            name: Laid(
                to=_value(given["to"]), over=_value(given["over"]) if "over" in given else None
            )
            for name, given in found.items()
            if name in CHANGEABLE
        }
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        kind = kind_of(error)
        problem = (
            f"it cannot be read: {error.strerror}; ask as root or as a member of the daemon's group"
        )
    except (ValueError, RecursionError, KeyError, TypeError):
        kind, problem = (
            ConfigError,
            "it is damaged; once it is removed, the settings file alone counts",
        )
    raise trouble(path, problem, kind)


def laid_over(
    data: Mapping[str, object], overlay: Overlay, both: Applied
) -> tuple[Applied, frozenset[str]]:
    """Return what counts over a settings file that says `data`, and which keys of it were set on the console.

    `both` is what file and environment say: what is set in the environment cannot be set on the console.
    """
    may_change = lookup(both.data, ("console", "may_change"))
    allowed = may_change if isinstance(may_change, list) else CHANGEABLE
    counting = {
        name: each.to
        for name, each in overlay.items()
        if name in allowed and (name,) not in both.variables and data.get(name) == each.over
    }
    return replaced(both, data={**both.data, **counting}), frozenset(counting)


def write_overlay(
    path: Path, overlay: Overlay, hold: Callable[[int], None] = lambda _: None
) -> None:
    """Put the file in its place, durably; `hold` gets its descriptor first. Raises ConfigError."""
    text = _HEAD
    for name, each in overlay.items():
        text += f"\n[{name}]\nto = {json.dumps(each.to)}\n"
        text += "" if each.over is None else f"over = {json.dumps(each.over)}\n"
    try:
        replace(path, text, partial(_dress, folder=path.parent.stat(), hold=hold))
    except OSError as error:
        raise trouble(
            path, f"it cannot be written: {unwritable(error, path)}", kind_of(error)
        ) from error


def trouble(path: Path | str, expected: str, kind: type[ConfigError] = ConfigError) -> ConfigError:
    """Return what is wrong with the file as a whole."""
    return kind((Mistake(file=str(path), key="", value="", expected=expected),))


def _value(given: object) -> bool | str:
    if not isinstance(given, bool | str):
        raise TypeError
    return given


def _dress(
    descriptor: int, _fresh: Path, *, folder: os.stat_result, hold: Callable[[int], None]
) -> None:
    hold(descriptor)
    with suppress(PermissionError):  # root writes for the daemon
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    os.fchmod(descriptor, _MODE)

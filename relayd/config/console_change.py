"""Change settings for the console: never the settings file, but what is laid over it.

Owns the order: one change at a time, also of those by `relayd config set`; nothing is written before all of it is
checked. The next change waits until it is known whether the daemon runs with this one.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from relayd.config.change import judge_name, told
from relayd.config.load import from_mapping, read
from relayd.config.overlay import (
    Laid,
    Overlay,
    laid_over,
    overlay_path,
    read_overlay,
    write_overlay,
)
from relayd.config.values import default_of
from relayd.control.set_keys import KeyChanges
from relayd.errors import RelaydError
from relayd.files import alone_in
from relayd.settings import Settings


class Overtaken(RelaydError):
    """Somebody else was faster: a value is not the one that was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Foreseen:
    file: Path  # what is laid over
    before: Overlay
    after: Overlay
    settings: Settings


@contextmanager
def changing_on_console(path: str, wanted: KeyChanges) -> Iterator[Callable[[], None]]:
    """Set keys beside the settings file `path`; give what puts back what was there before.

    Raises as `foresee` does, and writes nothing then.
    """
    with told(path), alone_in(Path(os.path.realpath(path)).parent):
        foreseen = _foresee(path, wanted)
        write_overlay(foreseen.file, foreseen.after)
        yield partial(write_overlay, foreseen.file, foreseen.before)


def foresee(path: str, wanted: KeyChanges) -> Settings:
    """Return what the settings would be, without their secrets.

    Raises Overtaken, RelaydError for a key that the console may not change, ConfigError with every mistake.
    """
    return _foresee(path, wanted).settings


def _foresee(path: str, wanted: KeyChanges) -> _Foreseen:
    data = read(path)[1]
    overlay = read_overlay(data)
    before = from_mapping(data, path, overlay=overlay, with_secrets=False)
    _judge(before, wanted)
    counting = laid_over(data, overlay)[1]
    new = {name: each for name, each in overlay.items() if name in counting}
    for name, (to, _) in wanted.items():
        over = data.get(name)
        new.pop(name, None)
        if to != (json.loads(default_of(name) or "null") if over is None else over):
            assert over is None or isinstance(over, bool | str)  # it was checked
            new[name] = Laid(to=to, over=over)
    after = from_mapping(data, path, overlay=new, with_secrets=False)
    judge_name(after, was_direct=before.routes.use_remote_smtp, named="fqdn" in wanted)
    file = overlay_path(data)
    assert file is not None  # the settings are right
    return _Foreseen(file=file, before=overlay, after=new, settings=after)


def _judge(before: Settings, wanted: KeyChanges) -> None:
    values = {name: json.loads(text) for name, text in before.values}
    for name, (_, was) in wanted.items():
        if name not in before.console.may_change:
            raise RelaydError(f"console.may_change does not let the console change {name}")
        if values[name] != was:
            now = json.dumps(values[name])
            raise Overtaken(
                f"somebody else was faster: {name} is {now} by now; nothing was changed"
            )

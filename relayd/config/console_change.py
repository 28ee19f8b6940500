"""Change settings for the console: never the settings file, but what is laid over it.

Owns the order: one change at a time, also of those by `relayd config set`; nothing is written before all of it is
checked. The next change waits until it is known whether the daemon runs with this one.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from relayd.config.change import judge_name, told
from relayd.config.environment import applied
from relayd.config.load import from_mapping, read_data
from relayd.config.overlay import (
    Laid,
    Overlay,
    laid_over,
    overlay_path,
    read_overlay,
)
from relayd.config.trial import trying
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
    after: Overlay
    settings: Settings


@contextmanager
def changing_on_console(path: str, wanted: KeyChanges) -> Iterator[Callable[[], None]]:
    """Try keys beside the settings file `path`; give what takes them over, once the daemon runs with them.

    What was not taken over by the end of the context is dropped. Raises as `foresee` does, and writes nothing then.
    """
    with ExitStack() as alone:
        with told(path):
            alone.enter_context(alone_in(_folder(path)))
        foreseen = _foresee(path, wanted)
        yield alone.enter_context(trying(foreseen.file, foreseen.after))


def _folder(path: str) -> Path:
    """Return the folder of the settings file; where all settings are in the environment, that of what is written."""
    folder = Path(os.path.realpath(path)).parent
    overlay = None if folder.is_dir() else overlay_path(applied({}, os.environ).data)
    return folder if overlay is None else overlay.parent


def foresee(path: str, wanted: KeyChanges) -> Settings:
    """Return what the settings would be, without their secrets.

    Raises Overtaken, RelaydError for a key that the console may not change, ConfigError with every mistake.
    """
    return _foresee(path, wanted).settings


def _foresee(path: str, wanted: KeyChanges) -> _Foreseen:
    data = read_data(path)
    both = applied(data, os.environ)
    overlay = read_overlay(overlay_path(both.data))
    before = _checked(path, data, overlay)
    _judge(before, wanted)
    counting = laid_over(data, overlay, both)[1]
    new = {name: each for name, each in overlay.items() if name in counting}
    for name, (to, _) in wanted.items():
        over = data.get(name)
        new.pop(name, None)
        if to != (json.loads(default_of(name) or "null") if over is None else over):
            assert over is None or isinstance(over, bool | str)  # it was checked
            new[name] = Laid(to=to, over=over)
    after = _checked(path, data, new)
    judge_name(after, was_direct=before.routes.use_remote_smtp, named="fqdn" in wanted)
    file = overlay_path(both.data)
    assert file is not None  # the settings are right
    return _Foreseen(file=file, after=new, settings=after)


def _checked(path: str, data: Mapping[str, object], overlay: Overlay) -> Settings:
    return from_mapping(data, path, overlay=overlay, environment=os.environ, with_secrets=False)


def _judge(before: Settings, wanted: KeyChanges) -> None:
    values = {name: json.loads(text) for name, text in before.values}
    for name, (_, was) in wanted.items():
        if name not in before.console.may_change:
            raise RelaydError(f"console.may_change does not let the console change {name}")
        if variable := before.variables.get(name):
            raise RelaydError(
                f"{variable} sets {name} in the environment of the daemon, and counts before the"
                " console: change it there, and restart the daemon"
            )
        if values[name] != was:
            now = json.dumps(values[name])
            raise Overtaken(
                f"somebody else was faster: {name} is {now} by now; nothing was changed"
            )

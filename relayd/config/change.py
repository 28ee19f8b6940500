"""Change keys of the settings file: all of it is checked before any of it is written.

Owns the order: one command at a time, edit in memory, every mistake of the result, then the file is
replaced in one step. It keeps mode, owner, group and access list; a symbolic link stays one. Who
reads meanwhile sees the old file or the new one. The next command waits until this one knows whether the daemon
runs with its change: so what is put back is what was there before.
"""

import json
import os
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from relayd.config.edit import Uneditable, with_value, without
from relayd.config.environment import applied, report_on
from relayd.config.keys import check_key, is_known, is_listener, name_of, parse_key
from relayd.config.load import from_mapping, read
from relayd.config.mistakes import Report, read_document
from relayd.config.model import Key
from relayd.config.overlay import (
    Overlay,
    laid_over,
    overlay_path,
    read_overlay,
    trouble,
    write_overlay,
)
from relayd.config.values import Values, value_of, values_of
from relayd.errors import ConfigError, kind_of
from relayd.file_access import unwritable
from relayd.files import alone_in, replace
from relayd.policy.fqdn import flaw_of
from relayd.settings import Settings


class Unset:
    """In the place of a value: the key is taken out of the file, and its default counts."""


UNSET = Unset()
Edit = tuple[Key, object]
"""A key with its new value as TOML has it, or with `UNSET`. `("listen", 1)` is a listener, to be taken out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """What one key was and is, as JSON texts; None is a value that there is not."""

    name: str
    old: str | None
    new: str | None
    variable: str = ""  # of the environment, which has the key too and counts before the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What became of the file."""

    file: str
    keys: tuple[KeyChange, ...]
    written: bool  # False: the file says so already, or it was only asked what would be
    control_socket: str  # of the daemon that runs, if its settings were those before
    began_direct: bool  # from now on mail goes to the recipients' own servers
    settings: Settings
    before: str  # the text of the file
    overlay: Overlay  # what was set on the console
    overlaid: Path | None  # where that was written; None: it counts as before

    def put_back(self) -> None:
        """Write what was there before. Inside `changing` only. Raises ConfigError."""
        real = Path(os.path.realpath(self.file))
        with told(self.file):
            replace(real, self.before, partial(_dress, old=real))
        if self.overlaid is not None:
            write_overlay(self.overlaid, self.overlay)


@contextmanager
def changing(
    path: str, edits: Sequence[Edit], *, force: bool = False, dry_run: bool = False
) -> Iterator[Changed]:
    """Make all `edits` of the file `path` as one change; nobody else changes it until the end of the context.

    `force`: direct mode may begin under a name that others will not believe. `dry_run`: nothing is written.
    Raises ConfigError and writes nothing.
    """
    real = Path(os.path.realpath(path))  # Path.resolve() trips over a loop of links
    with ExitStack() as alone:
        with told(path):
            alone.enter_context(alone_in(real.parent))
        text, data = read(path)
        both = applied(data, os.environ)
        overlaid = overlay_path(both.data)
        overlay = read_overlay(overlaid)
        report = report_on(path, laid_over(data, overlay, both)[0])
        before = read_document(report)
        edited = _edited(path, text, edits)
        names = {key[0] for key, _ in edits}
        kept = {name: each for name, each in overlay.items() if name not in names}
        settings = from_mapping(
            tomllib.loads(edited), file=path, overlay=kept, environment=os.environ
        )
        if not force:
            judge_name(settings, was_direct=before.use_remote_smtp, named="fqdn" in names)
        written = (edited != text or kept != overlay) and not dry_run
        if written:
            with told(path):
                replace(real, edited, partial(_dress, old=real))
            if overlaid is not None and kept != overlay:
                write_overlay(overlaid, kept)
        old, new = values_of(before), dict(settings.values)
        mistyped = {
            name_of(key): json.dumps(_written(key, data), default=str)
            for key, value in edits
            if isinstance(value, Unset) and _is_mistyped(key, data)
        }
        yield Changed(
            file=path,
            keys=tuple(
                KeyChange(
                    name=name,
                    old=mistyped.get(name) or _old(name, old, report),
                    new=value_of(name, new),
                    variable=settings.variables.get(name, ""),
                )
                for name in _names_of(edits, old, new)
            ),
            written=written,
            control_socket=before.control.socket,
            began_direct=settings.routes.use_remote_smtp and not before.use_remote_smtp,
            settings=settings,
            before=text,
            overlay=overlay,
            overlaid=overlaid if kept != overlay else None,
        )


def _edited(path: str, text: str, edits: Sequence[Edit]) -> str:
    """Make the edits in their order; a listener that one of them makes is there for the next. Raises ConfigError."""
    first = tomllib.loads(text)
    for key, value in edits:
        data = tomllib.loads(text)
        if not (isinstance(value, Unset) and _is_mistyped(key, data)):
            check_key(key, path, data, one=not isinstance(value, Unset) or not is_listener(key))
        try:
            text = without(text, key) if isinstance(value, Unset) else with_value(text, key, value)
        except Uneditable as error:
            from_mapping(
                first, file=path, environment=os.environ
            )  # a mistake in the file says more
            raise trouble(path, str(error)) from error
    return text


def _old(name: str, old: Values, report: Report) -> str | None:
    return value_of(name, old) if report.is_sound(parse_key(name)) else None


def _is_mistyped(key: Key, data: Mapping[str, object]) -> bool:
    """Tell whether the file has a value under a key that there is not: it can be taken out."""
    written = _written(key, data)
    return written is not None and not isinstance(written, Mapping) and not is_known(key)


def _written(key: Key, data: Mapping[str, object]) -> object:
    """Return what the file has there; None: nothing."""
    written: object = data
    for part in key:
        written = written.get(str(part)) if isinstance(written, Mapping) else None
    return written


def _names_of(edits: Sequence[Edit], old: Values, new: Values) -> Iterable[str]:
    """Return the keys that the edits are about, each once; those after a listener that goes have other numbers then."""
    names = dict.fromkeys(name_of(key) for key, _ in edits if not is_listener(key))
    if any(is_listener(key) for key, _ in edits):
        moved = (name for name in {**old, **new} if name.startswith("listen."))
        names |= dict.fromkeys(name for name in moved if old.get(name) != new.get(name))
    return names


def judge_name(after: Settings, *, was_direct: bool, named: bool) -> None:
    """Direct mode does not begin under a name that is no use, nor is it given one (`named`). Raises ConfigError."""
    if not after.routes.use_remote_smtp or (was_direct and not named):
        return
    if flaw := flaw_of(after.fqdn):
        given: Mapping[str, object] = {"fqdn": after.fqdn}
        report = Report(after.file, given)
        report.add(
            ("fqdn",),
            f"{flaw}, so other servers will not believe it: with use_remote_smtp it has to be a"
            " name that leads to this machine and back (`relayd config set --force` sets it all the same)",
        )
        raise ConfigError(tuple(report.mistakes))


@contextmanager
def told(path: str) -> Iterator[None]:
    """What the disk refuses is a mistake of the file as a whole."""
    try:
        yield
    except OSError as error:
        reason = unwritable(error, Path(path))
        raise trouble(path, f"the settings cannot be written: {reason}", kind_of(error)) from error


def _dress(descriptor: int, fresh: Path, *, old: Path) -> None:
    status = old.stat()
    os.fchown(descriptor, status.st_uid, status.st_gid)
    shutil.copystat(old, fresh)  # the mode, and what else guards the file
    os.utime(descriptor)

"""Change one key of the settings file: all of it is checked before any of it is written.

Owns the order: one command at a time, edit in memory, every mistake of the result, then the file is
replaced in one step. It keeps mode, owner, group and access list; a symbolic link stays one. Who
reads meanwhile sees the old file or the new one.
"""

import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from relayd.config.edit import Uneditable, with_value
from relayd.config.keys import check_key, name_of
from relayd.config.load import from_mapping, read
from relayd.config.mistakes import Report, read_document
from relayd.config.model import Document, Key
from relayd.config.values import values_of
from relayd.errors import ConfigError, Mistake
from relayd.files import alone_in, replace
from relayd.policy.fqdn import flaw_of
from relayd.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What became of the file; values are JSON texts, None is a value that there was not."""

    file: str
    name: str
    old: str | None
    new: str
    written: bool  # False: the file says so already
    control_socket: str  # of the daemon that runs, if its settings were those before
    began_direct: bool  # from now on mail goes to the recipients' own servers
    settings: Settings


def change(path: str, key: Key, value: object, *, force: bool = False) -> Changed:
    """Set `key` in the file `path` to `value`, as TOML has it. Raises ConfigError and writes nothing.

    `force`: direct mode may begin under a name that others will not believe.
    """
    real = Path(os.path.realpath(path))  # Path.resolve() trips over a loop of links
    with _alone(path, real.parent):
        text, data = read(path)
        check_key(key, path, data, one=True)
        report = Report(path, data)
        before = read_document(report)
        try:
            edited = with_value(text, key, value)
        except Uneditable as error:
            from_mapping(data, file=path)  # a mistake in the file says more
            raise _trouble(path, str(error)) from error
        settings = from_mapping(tomllib.loads(edited), file=path)
        _judge_name(before, settings, key, force=force)
        if edited != text:
            replace(real, edited, partial(_dress, old=real))
    name = name_of(key)
    return Changed(
        file=path,
        name=name,
        old=values_of(before).get(name) if report.is_sound(key) else None,
        new=dict(settings.values)[name],
        written=edited != text,
        control_socket=before.control.socket,
        began_direct=settings.routes.use_remote_smtp and not before.use_remote_smtp,
        settings=settings,
    )


def _judge_name(before: Document, after: Settings, key: Key, *, force: bool) -> None:
    """Direct mode does not begin under a name that is no use, nor is it given one."""
    matters = key == ("fqdn",) or not before.use_remote_smtp
    if force or not (after.routes.use_remote_smtp and matters):
        return
    if flaw := flaw_of(after.fqdn):
        given: Mapping[str, object] = {"fqdn": after.fqdn}
        report = Report(after.file, given)
        report.add(
            ("fqdn",),
            f"{flaw}, so other servers will not believe it: with use_remote_smtp it has to be a"
            " name that leads to this machine and back (--force sets it all the same)",
        )
        raise ConfigError(tuple(report.mistakes))


@contextmanager
def _alone(path: str, directory: Path) -> Iterator[None]:
    """One command at a time; what the disk refuses is a mistake of the file as a whole."""
    try:
        with alone_in(directory):
            yield
    except OSError as error:
        raise _trouble(path, f"the settings cannot be written: {error.strerror}") from error


def _dress(descriptor: int, fresh: Path, *, old: Path) -> None:
    status = old.stat()
    os.fchown(descriptor, status.st_uid, status.st_gid)
    shutil.copystat(old, fresh)  # the mode, and what else guards the file
    os.utime(descriptor)


def _trouble(path: str, expected: str) -> ConfigError:
    return ConfigError((Mistake(file=path, key="", value="", expected=expected),))

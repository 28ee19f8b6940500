"""New settings: judged in memory, then written with the files of their secrets.

Owns that nothing is written before all of it is right, that a file which says something is not replaced unless that is
asked for, and that the replaced one is kept. Secrets are written first: settings never name a file that is not there.
"""

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from relayd.config.change import told
from relayd.config.load import from_mapping, load, read
from relayd.config.toml_text import toml_of
from relayd.errors import ConfigError, Mistake
from relayd.files import alone_in, make_folder
from relayd.files import replace as put
from relayd.settings import Settings, SmarthostSettings

_MODE, _OWN_MODE, _FOLDER_MODE = 0o640, 0o600, 0o755
_MOST_KEPT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Settings that are not written yet."""

    values: Mapping[str, object]  # as a TOML file says them
    about: str  # the comment at the top
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # by file name beside it


def judged(draft: Draft, path: str) -> Settings:
    """Return what the draft means as the file `path`, its secrets included. Raises ConfigError with every mistake."""
    data = tomllib.loads(toml_of(draft.values, draft.about))
    settings = from_mapping(data, file=path, environment=os.environ, with_secrets=False)
    smarthosts = {name: _logs_in(each, draft) for name, each in settings.smarthosts.items()}
    return replace(settings, smarthosts=smarthosts)


def _logs_in(smarthost: SmarthostSettings, draft: Draft) -> SmarthostSettings:
    login = smarthost.login
    if login is None or (secret := draft.secrets.get(Path(login.file).name)) is None:
        return smarthost
    return replace(smarthost, login=replace(login, secret=secret))


def refuse_replacing(draft: Draft, path: str) -> None:
    """Raise ConfigError if a file says something already: settings that are more than comments, a secret of that name."""
    in_the_way = [path] if says_something(path) else []
    folder = Path(path).parent
    in_the_way += [str(folder / name) for name in draft.secrets if os.path.lexists(folder / name)]
    if in_the_way:
        expected = "is there already; --force writes new settings, and keeps the old ones as *.old"
        raise ConfigError(
            tuple(Mistake(file=each, key="", value="", expected=expected) for each in in_the_way)
        )


def says_something(path: str) -> bool:
    """Tell whether there are settings that set anything; a file that cannot be read may."""
    if not os.path.lexists(path):
        return False
    try:
        return not _is_empty(read(path)[1])
    except ConfigError:
        return True


def _is_empty(value: object) -> bool:
    """Tell whether tables, and lists of tables, have no key in them."""
    match value:
        case Mapping():
            return all(map(_is_empty, value.values()))
        case list():
            return bool(value) and all(isinstance(each, Mapping) and not each for each in value)
        case _:
            return False


def write_fresh(
    draft: Draft, path: str, *, group: int | None, replaces: bool = True
) -> tuple[Path, ...]:
    """Write all files, for us and `group`, or for us alone. Raises ConfigError.

    Files that are there are renamed, or, if it replaces none, refused: somebody may have been faster.

    All of them or none: what was written is taken back when the next one cannot be, and when all together are not
    right, such as with a certificate that cannot be read.
    """
    real = Path(os.path.realpath(path))
    text = toml_of(draft.values, draft.about)
    folder = Path(path).absolute().parent  # where secrets are looked for, wherever a link leads
    files = {folder / name: f"{secret}\n" for name, secret in draft.secrets.items()}
    files[real] = text
    with told(path):
        if real.parent.parent.is_dir():
            make_folder(real.parent, _FOLDER_MODE)
        with alone_in(real.parent):
            if not replaces:
                refuse_replacing(draft, path)
            with _all_or_none(files, partial(_dress, group=group)):
                load(path)
    return tuple(files)


@contextmanager
def _all_or_none(files: Mapping[Path, str], dress: Callable[[int, Path], None]) -> Iterator[None]:
    """Write every file; leave all as they were if that, or what is done then, fails. Raises OSError."""
    begun: list[tuple[Path, Path | None]] = []
    try:
        for file, content in files.items():
            begun.append((file, _keep(file)))
            put(file, content, dress)
        yield
    except BaseException:  # also who presses Ctrl-C
        for file, kept in reversed(begun):
            with suppress(OSError):
                _take_back(file, kept)
        raise


def _take_back(file: Path, kept: Path | None) -> None:
    if kept is None:
        file.unlink(missing_ok=True)
    else:
        kept.replace(file)  # does nothing while both are names of the old one
        kept.unlink(missing_ok=True)


def _keep(file: Path) -> Path | None:
    """Give a file that is there a second name, the first that is free: it has both until it is replaced.

    Return that name; None: there is no file.
    """
    if not os.path.lexists(file):
        return None
    names = [f"{file.name}.old", *(f"{file.name}.old.{number}" for number in range(1, _MOST_KEPT))]
    free = next((name for name in names if not os.path.lexists(file.with_name(name))), None)
    if free is None:
        raise FileExistsError(17, "there are too many old ones: remove some", str(file))
    os.link(file, file.with_name(free), follow_symlinks=False)
    return file.with_name(free)


def _dress(descriptor: int, _fresh: Path, *, group: int | None) -> None:
    if (
        group is not None
    ):  # first: a group that we have by chance is not to read it, not even for a moment
        with suppress(PermissionError):
            os.fchown(descriptor, -1, group)
    os.fchmod(descriptor, _OWN_MODE if group is None else _MODE)

"""Doing something as another user, in this process: for what modes and owners keep from whom.

Only root can. The users need no entry in the user database. The interpreter may lie where they
cannot look, so all of relayd is imported first, and what it imports late is imported as root. What is
read as the other user, such as the steps of the schema, has to lie where it may be read.
"""

import builtins
import os
import pkgutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path

import pytest

import relayd


def _is_open_to_all(folder: Path) -> bool:
    """Tell whether every user may read what is in the folder, as far as the modes on the way tell."""
    way = stat.S_IROTH | stat.S_IXOTH
    return all(each.stat().st_mode & stat.S_IXOTH for each in folder.parents) and (
        folder.stat().st_mode & way == way
    )


_CODE = Path(relayd.__file__).parent.resolve()
lets_others_read = _is_open_to_all(_CODE)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
needs_open_code = pytest.mark.skipif(
    not lets_others_read, reason=f"other users may not read the code in {_CODE}"
)


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    groups: tuple[int, ...]  # the first is the user's own


DAEMON = User(64101, (64201,))
MEMBER = User(64102, (64202, 64201))  # of the daemon's group
STRANGER = User(64103, (64203,))


@contextmanager
def acting_as(user: User) -> Iterator[None]:
    """Be another user until the end, with root kept as the saved user id."""
    import_all()
    groups, umask = os.getgroups(), os.umask(0o022)
    os.setgroups(user.groups)
    os.setresgid(user.groups[0], user.groups[0], 0)
    os.setresuid(user.uid, user.uid, 0)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builtins, "__import__", partial(import_as_root, builtins.__import__))
            yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)
        os.umask(umask)


@contextmanager
def a_folder_for_all() -> Iterator[Path]:
    """A folder that everybody can get at; those of pytest are root's alone."""
    with tempfile.TemporaryDirectory(prefix="relayd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@cache
def import_all() -> None:
    for module in pkgutil.walk_packages(relayd.__path__, "relayd."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def import_as_root(as_before: Callable[..., object], *given: object, **named: object) -> object:
    """Import what the standard library imports late: it may lie where only root can look."""
    if _is_imported(*given):
        return as_before(*given, **named)
    user = os.geteuid()
    os.seteuid(0)
    try:
        return as_before(*given, **named)
    finally:
        os.seteuid(user)


def _is_imported(
    name: object,
    _names: object = None,
    _locals: object = None,
    names: object = (),
    level: object = 0,
) -> bool:
    """Tell whether that reads no file: most imports do not, and to change the user takes its time."""
    module = sys.modules.get(str(name)) if level == 0 else None
    wanted = names if isinstance(names, tuple) else ()
    return module is not None and all(hasattr(module, each) for each in wanted)

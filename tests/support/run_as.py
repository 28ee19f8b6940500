"""`python -m tests.support.run_as UID GID ARGUMENTS`: relayd as another user, for who is root.

The code may lie where the user is not let in. So a command keeps root as its saved user, and imports as root. The
daemon, whose threads make files, has all of it imported first, and keeps nothing.
"""

import builtins
import importlib
import os
import sys
from functools import partial

from relayd.__main__ import main
from tests.support.other_users import import_all, import_as_root

_LATE = ("difflib", "encodings.idna", "importlib.readers", "uvloop")


def _become(uid: int, gid: int, saved: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, saved)
    os.setresuid(uid, uid, saved)
    os.umask(0o022)


def _prepare(arguments: list[str], uid: int, gid: int) -> None:
    if arguments == ["serve"]:
        import_all()
        for name in _LATE:
            importlib.import_module(name)
        _become(uid, gid, uid)
        return
    setattr(builtins, "__import__", partial(import_as_root, builtins.__import__))  # noqa: B010
    setattr(importlib, "import_module", partial(import_as_root, importlib.import_module))  # noqa: B010
    _become(uid, gid, 0)


if __name__ == "__main__":
    _prepare(sys.argv[3:], int(sys.argv[1]), int(sys.argv[2]))
    sys.argv = ["relayd", *sys.argv[3:]]
    main()

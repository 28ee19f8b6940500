"""The users file on the disk: reading it, and changing it in one step.

Owns the refusal of a file that others can read. The receiver reads, `relayd user` changes; the one who
reads meanwhile sees the old file or the new one.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from relayd.errors import Shortage, UsersError, is_shortage
from relayd.file_access import unreadable, unwritable
from relayd.files import alone_in, replace
from relayd.mail.account import Account, AccountError, parse_accounts
from relayd.secret_files import SecretError, read_private

_LIMIT = 4 << 20  # octets
_MODE = 0o640

Change = Callable[[str, Mapping[str, Account]], str]
"""From the text of the file, and the accounts in it, to the new text."""


def read_users(path: Path) -> Mapping[str, Account]:
    """Return the accounts by name. Raises UsersError, Shortage."""
    return _parse(path, _text_of(path))


def change_users(path: Path, change: Change, *, group: int) -> None:
    """Give the file to `change` and write what it returns; one command at a time.

    The file keeps its owner and group; a new one gets `group`, where that is allowed. Raises
    UsersError.
    """
    path = path.resolve()
    try:
        with alone_in(path.parent):
            old = path.stat() if path.exists() else None
            text = "" if old is None else _text_of(path)
            text = change(text, _parse(path, text))
            _parse(path, text)
            replace(path, text, partial(_dress, old=old, group=group))
    except OSError as error:
        raise UsersError(f"{path} cannot be written: {unwritable(error, path)}") from error


def _dress(descriptor: int, _fresh: Path, *, old: os.stat_result | None, group: int) -> None:
    if old is None:
        with suppress(PermissionError):
            os.fchown(descriptor, -1, group)
    else:
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, _MODE if old is None else old.st_mode & _MODE)


def _parse(path: Path, text: str) -> Mapping[str, Account]:
    try:
        return parse_accounts(text)
    except AccountError as error:
        raise UsersError(f"{path}: {error}") from error


def _text_of(path: Path) -> str:
    try:
        read = read_private(path, limit=_LIMIT)
        if len(read.octets) > _LIMIT:
            raise UsersError(f"{path}: expected a file of at most {_LIMIT} octets")
        return read.octets.decode()
    except SecretError as error:
        raise UsersError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UsersError(f"there is no {path}; `relayd user add NAME` makes it") from error
    except OSError as error:
        told = f"{path} cannot be read: {unreadable(error, path)}"
        raise (Shortage if is_shortage(error) else UsersError)(told) from error
    except UnicodeDecodeError as error:
        raise UsersError(f"{path}: expected UTF-8 text") from error

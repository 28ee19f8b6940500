"""Read a secret from the file that the settings name.

Owns the lookup (systemd credentials first) and the refusal of a file that others can read. The
text of an error never has a byte of the secret, nor the name given, which may be the secret
itself written in the wrong place.

Source: systemd.exec(5), LoadCredential=.
"""

import os
import stat
from pathlib import Path

_LIMIT = 16 * 1024  # octets; an OAuth2 token has a few thousand
_OTHERS = 0o007


class SecretError(ValueError):
    """The secret cannot be had; the text says why and what to do."""


def read_secret(name: str, *, beside: Path) -> str:
    """Return the secret in the file `name`, without the newline that ends it.

    A name without a slash is first a credential in $CREDENTIALS_DIRECTORY; any relative name is
    looked for in the directory `beside`. Raises SecretError.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        path = beside / name
        if directory and "/" not in name and (credential := Path(directory) / name).exists():
            path = credential
        raw = _read(path, protected=bool(directory) and _is_inside(path, Path(directory)))
    except FileNotFoundError:
        where = "" if "/" in name else " among the systemd credentials or beside the settings"
        raise SecretError(f"there is no such file{where}") from None
    except OSError as error:
        raise SecretError(f"the file cannot be read: {error.strerror}") from None
    return _secret_in(raw)


def _is_inside(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())


def _read(path: Path, *, protected: bool) -> bytes:
    # Without O_NONBLOCK, opening a FIFO would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, so that we judge what we read
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError("expected a file that holds the secret")
        if status.st_mode & _OTHERS and not protected:
            mode = stat.S_IMODE(status.st_mode)
            raise SecretError(f"others may use the file (mode {mode:04o}); run chmod o-rwx on it")
        return file.read(_LIMIT + 1)


def _secret_in(raw: bytes) -> str:
    if len(raw) > _LIMIT:
        raise SecretError(f"expected at most {_LIMIT} octets in the file")
    try:
        secret = raw.decode()
    except UnicodeDecodeError:
        raise SecretError("expected UTF-8 text in the file") from None
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SecretError("the file is empty")
    if any(char in secret for char in "\r\n\0"):
        raise SecretError("expected one line without NUL in the file")
    return secret

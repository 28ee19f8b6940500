"""Read files that hold secrets: passwords, tokens, keys, accounts.

Owns the lookup (systemd credentials first) and the refusal of a file that others can read. The
text of an error never has a byte of the secret, nor the name given, which may be the secret
itself written in the wrong place.

Source: systemd.exec(5), LoadCredential=; proc_pid_mountinfo(5).
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from relayd.file_access import unreadable
from relayd.policy.privacy import Privacy, SecretFacts, judge_privacy

_LIMIT = 16 * 1024  # octets of a password or token; an OAuth2 token has a few thousand
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


class SecretError(ValueError):
    """The secret cannot be had; the text says why and what to do."""


class NoSecretFile(SecretError):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Read:
    """The octets of a file, and what is to be said about its mode; usually nothing."""

    octets: bytes
    warning: str


def find_secret(name: str, *, beside: Path) -> Path:
    """Return where the file `name` is, or would be.

    A name without a slash is first a credential in $CREDENTIALS_DIRECTORY; any relative name is
    looked for in the directory `beside`.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if directory and "/" not in name and os.path.exists(credential := Path(directory) / name):  # noqa: PTH110 -- does not raise
        return credential
    return beside / name


def read_secret(path: Path) -> tuple[str, str]:
    """Return the secret in a file without the newline that ends it, and a warning or "".

    Raises SecretError, whatever is wrong with the file.
    """
    try:
        read = read_private(path, limit=_LIMIT)
    except FileNotFoundError:
        raise NoSecretFile("there is no such file") from None
    except OSError as error:
        raise SecretError(f"the file cannot be read: {unreadable(error, path)}") from None
    return _secret_in(read.octets), read.warning


def read_private(path: Path, *, limit: int) -> Read:
    """Return the octets of a file that is nobody else's. Raises OSError, SecretError.

    One octet more than `limit` says that there are more.
    """
    # Without O_NONBLOCK, opening a FIFO would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, so that we judge what we read
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError("expected a file that holds the secret")
        facts = _facts_of(path, descriptor, status)
        privacy = judge_privacy(facts)
        if privacy is Privacy.OPEN:
            raise SecretError(
                f"others may use the file (mode {facts.mode:04o}); run chmod o-rwx on it"
            )
        warning = ""
        if privacy is Privacy.SHIELDED:
            warning = f"others may read the file if they can get at it (mode {facts.mode:04o})"
        return Read(file.read(limit + 1), warning)


def judge_file(path: Path) -> Privacy:
    """Return how private a file is. Raises OSError, SecretError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return judge_privacy(_facts_of(path, descriptor, os.fstat(descriptor)))
    finally:
        os.close(descriptor)


def _facts_of(path: Path, descriptor: int, status: os.stat_result) -> SecretFacts:
    real = path.resolve()
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return SecretFacts(
        mode=stat.S_IMODE(status.st_mode),
        owner=status.st_uid,
        directory_mode=real.parent.stat().st_mode,
        is_on_mount=bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
        or _type_of(status.st_dev) in _IN_MEMORY,
        is_credential=bool(credentials) and real.is_relative_to(Path(credentials).resolve()),
    )


def _type_of(device: int) -> str:
    """Return the type of the file system on a device; "" if the system does not tell."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in mounts.splitlines():
        mount, _, file_system = line.partition(" - ")
        if mount.split()[2:3] == [wanted]:
            return file_system.partition(" ")[0]
    return ""


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

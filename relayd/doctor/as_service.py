"""Checking the settings as the user that the daemon runs as, when root asks: root may read everything.

A child process becomes that user and reads what the daemon would read, by the same code: modes, owners,
groups and access lists all count, as the kernel has them. Which user that is, the queue says: its
owner, or the owner of its folder, or `relayd` where there is neither. It is not looked up in the
unit, which a container has none of.

What the unit gives the daemon by LoadCredential=, that user need not read.
"""

import json
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from relayd.config.load import load
from relayd.config.written import written_files
from relayd.errors import ConfigError, Mistake
from relayd.file_access import name_of
from relayd.settings import Settings
from relayd.store.url import queue_file

_USUAL = "relayd"
_UNIT = "relayd.service"
_CREDENTIALS = f"/run/credentials/{_UNIT}"
_LIMIT = 60_000  # octets: what a pipe holds
_PATIENCE = 5.0  # seconds for systemctl


@dataclass(frozen=True, slots=True)
class ServiceUser:
    uid: int
    gid: int

    @property
    def name(self) -> str:
        return name_of(self.uid)


def mistakes_as_service(settings: Settings) -> Sequence[Mistake]:
    """Return what the daemon could not use, though root can; nothing where somebody else asks."""
    user = service_user(settings) if os.geteuid() == 0 else None
    if user is None:
        return ()
    found = _in_child(user, settings)
    if not found:
        return ()
    given = _credentials()
    values = {name: json.loads(text) for name, text in settings.values}
    return [
        replace(each, expected=f"{each.expected} (as {user.name}, who runs relayd)")
        for each in found
        if not (isinstance(name := values.get(each.key), str) and name in given)
    ]


def require_as_service(settings: Settings) -> None:
    """Raise ConfigError if the daemon could not use what root can."""
    if found := mistakes_as_service(settings):
        raise ConfigError(tuple(found))


def service_user(settings: Settings) -> ServiceUser | None:
    """Return the user that the daemon runs as; None: root, or nobody knows."""
    queue = queue_file(settings.store.url)
    with suppress(OSError):
        status = queue.stat()
        return ServiceUser(status.st_uid, status.st_gid) if status.st_uid else None
    with suppress(OSError):
        status = queue.parent.stat()
        if status.st_uid:
            return ServiceUser(status.st_uid, status.st_gid)
    with suppress(KeyError):
        entry = pwd.getpwnam(_USUAL)
        return ServiceUser(entry.pw_uid, entry.pw_gid)
    return None


def _in_child(user: ServiceUser, settings: Settings) -> Sequence[Mistake]:
    path = str(Path(settings.file).absolute())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:  # whatever goes wrong, the parent reads nothing then
            _become(user)
            found = _found(settings, path, user)
            os.write(writer, json.dumps([asdict(each) for each in found])[:_LIMIT].encode())
        finally:  # at once: what the command does when it ends is not for this user to do
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as answer:
            return [Mistake(**fields) for fields in json.loads(answer.read())]
    except ValueError:
        expected = "this could not be checked"
        return [Mistake(file=settings.file, key="", value="", expected=expected)]
    finally:
        os.waitpid(child, 0)


def _become(user: ServiceUser) -> None:
    try:
        entry = pwd.getpwuid(user.uid)
    except KeyError:
        os.setgroups([user.gid])
        gid = user.gid
    else:
        gid = entry.pw_gid
        os.initgroups(entry.pw_name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if "CREDENTIALS_DIRECTORY" not in os.environ and Path(_CREDENTIALS).is_dir():
        os.environ["CREDENTIALS_DIRECTORY"] = _CREDENTIALS


def _found(settings: Settings, path: str, user: ServiceUser) -> Iterator[Mistake]:
    """Read all of it as we are now, and look at what has to be written."""
    try:
        load(path)
    except ConfigError as error:
        for each in error.mistakes:
            yield each if each.key else replace(each, expected="the settings cannot be read")
    for key, file in _written(settings):
        wanted = os.R_OK | os.W_OK | (os.X_OK if file.is_dir() else 0)
        if os.path.lexists(file) and not os.access(file, wanted):
            expected = f"{file} cannot be written; run chown {user.name} {file}"
            yield Mistake(file=settings.file, key=key, value="", expected=expected)


def _written(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield what the daemon writes: a log that is there needs nothing of its folder."""
    log = Path(settings.log.status_log)
    for file in written_files(settings):
        if file == log:
            yield "status_log.path", file
        elif file != log.parent or file == queue_file(settings.store.url).parent:
            yield "store.url", file
        elif not log.exists():
            yield "status_log.path", file


def _credentials() -> frozenset[str]:
    """Return the names of what the unit hands to the daemon; none without systemd."""
    command = ["systemctl", "show", "-p", "LoadCredential", "-p", "LoadCredentialEncrypted", _UNIT]
    try:
        shown = subprocess.run(  # noqa: S603 -- constants
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    values = (line.partition("=")[2] for line in shown.splitlines())
    return frozenset(one.partition(":")[0] for value in values for one in value.split())

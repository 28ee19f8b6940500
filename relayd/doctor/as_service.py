"""Checking the settings as the user that the daemon runs as, when root asks: root may read everything.

What the unit gives the daemon by LoadCredential=, that user need not read.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from relayd.config.load import load
from relayd.config.signing import unusable_keys
from relayd.config.written import written_files
from relayd.doctor.service_user import UNIT, ServiceUser, ask_as, service_user
from relayd.errors import ConfigError, Mistake
from relayd.settings import Settings

_PATIENCE = 5.0  # seconds for systemctl


def mistakes_as_service(settings: Settings) -> Sequence[Mistake]:
    """Return what the daemon could not use, though root can; nothing where somebody else asks."""
    user = service_user(settings.store.url, settings.store.folder) if os.geteuid() == 0 else None
    if user is None:
        return ()
    found = _in_child(user, settings)
    if not found:
        return ()
    given = _credentials()
    values = {name: json.loads(text) for name, text in settings.values}
    for number, table in enumerate(values.get("dkim", ())):
        values[f"dkim[{number}].key_file"] = table["key_file"]
    return [
        replace(each, expected=f"{each.expected} (as {user.name}, who runs relayd)")
        for each in found
        if not (isinstance(name := values.get(each.key), str) and name in given)
    ]


def require_as_service(settings: Settings) -> None:
    """Raise ConfigError if the daemon could not use what root can."""
    if found := mistakes_as_service(settings):
        raise ConfigError(tuple(found))


def _in_child(user: ServiceUser, settings: Settings) -> Sequence[Mistake]:
    path = str(Path(settings.file).absolute())
    found = ask_as(user, lambda: [asdict(each) for each in _found(settings, path, user)])
    if found is None:
        expected = "this could not be checked"
        return [Mistake(file=settings.file, key="", value="", expected=expected)]
    return [Mistake(**fields) for fields in found]


def _found(settings: Settings, path: str, user: ServiceUser) -> Iterator[Mistake]:
    """Read all of it as we are now, and look at what has to be written."""
    try:
        yield from unusable_keys(load(path))
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
        elif file != log.parent or file == Path(settings.store.folder):
            yield "store.url", file
        elif not log.exists():
            yield "status_log.path", file


def _credentials() -> frozenset[str]:
    """Return the names of what the unit hands to the daemon; none without systemd."""
    command = ["systemctl", "show", "-p", "LoadCredential", "-p", "LoadCredentialEncrypted", UNIT]
    try:
        shown = subprocess.run(  # noqa: S603 -- constants
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    values = (line.partition("=")[2] for line in shown.splitlines())
    return frozenset(one.partition(":")[0] for value in values for one in value.split())

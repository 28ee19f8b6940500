"""The unit of systemd: put where it belongs, started, and seen to run.

A unit that is there already, such as that of a package, is left as it is and only started.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from relayd.config.peek import DEFAULT_SETTINGS
from relayd.errors import StartError
from relayd.file_access import unwritable
from relayd.files import replace
from relayd.shipped import shipped

_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_UNITS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
_UNIT = "relayd.service"
_SYSUSERS = Path("/etc/sysusers.d/relayd.conf")
_NAME = "relayd"
_PROGRAM = "/opt/relayd/bin/relayd"  # in the unit that comes with relayd
_HIDDEN = ("/root", "/home", "/run/user")  # from what the unit starts (ProtectHome=)
_PATIENCE = 120.0  # seconds for one step


class NotStarted(click.ClickException):
    """The unit does not run; says what systemd says, and where more is."""

    exit_code = os.EX_OSERR


def why_no_unit(path: str) -> str:
    """Return why no unit can be installed for the settings `path`, or "" if one can."""
    if not _BOOTED.is_dir():
        return "systemd does not run this machine: start `relayd serve` by what does"
    if os.geteuid() != 0:
        return "only root installs units: run it as root"
    if str(Path(path).absolute()) != DEFAULT_SETTINGS:
        return f"the unit is for {DEFAULT_SETTINGS}: leave out -c"
    program = str(_program())
    if not _installed() and program.startswith(tuple(f"{each}/" for each in _HIDDEN)):
        return f"the unit may not use {program}: install relayd into /opt/relayd (python3 -m venv /opt/relayd)"
    return ""


def start_unit(files: Iterable[Path]) -> None:
    """Install the unit if there is none, give `files` to the group of its user, and start it. Raises StartError, NotStarted."""
    if not _installed():
        _write(_SYSUSERS, shipped("systemd/relayd.sysusers"))
        _write(_UNITS[0] / _UNIT, shipped(f"systemd/{_UNIT}").replace(_PROGRAM, str(_program())))
        _run(["systemd-sysusers"])
        _run(["systemctl", "daemon-reload"])
    for file in files:
        _run(["chgrp", "relayd", str(file)])
        file.chmod(0o640)
    _run(["systemctl", "enable", _UNIT])
    _run(["systemctl", "restart", _UNIT])  # Type=notify: it returns when the relay takes mail


def _installed() -> bool:
    return any((folder / _UNIT).exists() for folder in _UNITS)


def _program() -> Path:
    """Return the program that runs now, or the one that a shell would run."""
    named = Path(sys.argv[0]) if Path(sys.argv[0]).name == _NAME else None
    found = named if named is not None and named.is_file() else shutil.which(_NAME)
    return Path(os.path.realpath(found)) if found else Path(sys.prefix, "bin", _NAME)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        replace(path, text, lambda descriptor, _: os.fchmod(descriptor, 0o644))
    except OSError as error:
        raise StartError(f"{path} cannot be written: {unwritable(error, path)}") from error


def _run(command: Sequence[str]) -> None:
    program = shutil.which(command[0])
    if program is None:
        raise NotStarted(f"there is no {command[0]}: start `relayd serve` in another way")
    try:
        done = subprocess.run(  # noqa: S603 -- a program of this machine, words of our own
            [program, *command[1:]], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotStarted(f"{' '.join(command)} takes too long; see journalctl -u relayd") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[:300] or f"exit status {done.returncode}"
        raise NotStarted(f"{' '.join(command)}: {said}; see journalctl -u relayd -n 20")

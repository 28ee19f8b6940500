"""A run of the checks that a page has the daemon make: how far it is, for those who wait.

`doctor-run.json` in the folder of the queue says so, put in place anew with each check. Whether the run goes on,
the lock beside it says. The process that makes the checks holds it and nobody else does, so it ends with that
process, however it ends; and there is one run at a time.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from relayd.doctor.saved import as_json, finding_of, put
from relayd.errors import RelaydError, StartError
from relayd.files import is_locked
from relayd.mail.words import format_instant
from relayd.policy.doctor.finding import Finding

_FILE, _LOCK = "doctor-run.json", "doctor-run.lock"
_SCHEMA = 1  # of the file
_MODE = 0o640  # the console is in the group


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, as far as it is. A quick one is kept here alone; a whole one becomes the saved result."""

    at: datetime  # when it began
    by: str
    quick: bool
    steps: tuple[str, ...]  # in words, all of them
    done: int = 0  # of the steps
    findings: Sequence[Finding] = ()
    trouble: str = ""  # why there is no result

    @property
    def has_ended(self) -> bool:
        """All was done, or it is known why not."""
        return bool(self.trouble) or self.done == len(self.steps)


def read_run(folder: Path) -> Run | None:
    """Return the last run; None if there is none that can be read."""
    try:
        told = json.loads((folder / _FILE).read_bytes())
        return Run(
            at=datetime.fromisoformat(told["ts"]),
            by=str(told["by"]),
            quick=told["quick"] is True,
            steps=tuple(map(str, told["steps"])),
            done=int(told["done"]),
            findings=[finding_of(each) for each in told["findings"]],
            trouble=str(told["trouble"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_run(folder: Path, run: Run) -> None:
    """Say how far it is. Raises StartError."""
    told = {
        "schema": _SCHEMA,
        "ts": format_instant(run.at),
        "by": run.by,
        "quick": run.quick,
        "steps": run.steps,
        "done": run.done,
        "findings": [as_json(each, run.at) for each in run.findings],
        "trouble": run.trouble,
    }
    put(folder / _FILE, told)


def take_turn(folder: Path) -> int:
    """Return a descriptor that holds the lock for as long as any process has it open.

    Raises RelaydError while another run goes on, StartError where there can be no lock.
    """
    path = folder / _LOCK
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, _MODE)
    except OSError as error:
        raise StartError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise RelaydError("checks are being made already: wait for their result") from error
    return descriptor


def is_running(folder: Path) -> bool:
    """Tell whether a run goes on."""
    try:
        return is_locked(folder / _LOCK)
    except OSError:
        return False

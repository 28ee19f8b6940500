"""The last result as a file, for those who show it: `doctor.json` in the state directory.

Replaced in one step, readable for the daemon's user and group.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from relayd.doctor.machine import state_directory
from relayd.errors import StartError
from relayd.files import replace
from relayd.mail.words import format_instant
from relayd.policy.doctor.finding import Check, Finding, Level, tally
from relayd.settings import Settings

SCHEMA = 1  # of the file
FIELDS = ("ts", "check", "subject", "level", "reason", "remedy")
_MODE = 0o640


def saved_path(settings: Settings) -> Path:
    """Return where the result is kept."""
    return state_directory(settings) / "doctor.json"


def as_json(finding: Finding, at: datetime) -> dict[str, str]:
    """Return a finding as `--json` prints it."""
    return {
        "ts": format_instant(at),
        "check": finding.check.value,
        "subject": finding.subject,
        "level": finding.level.value,
        "reason": finding.reason,
        "remedy": finding.remedy,
    }


def finding_of(told: Mapping[str, Any]) -> Finding:
    """Read what `as_json` wrote. Raises ValueError, KeyError, TypeError."""
    return Finding(
        check=Check(told["check"]),
        subject=str(told["subject"]),
        level=Level(told["level"]),
        reason=str(told["reason"]),
        remedy=str(told["remedy"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The last result."""

    at: datetime
    findings: Sequence[Finding]


def saved(settings: Settings) -> Saved | None:
    """Return the last result; None if there is none that can be read."""
    try:
        result = json.loads(saved_path(settings).read_bytes())
        findings = [finding_of(each) for each in result["findings"]]
        return Saved(at=datetime.fromisoformat(result["ts"]), findings=findings)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(settings: Settings, findings: Sequence[Finding], at: datetime) -> Path:
    """Write the result and return where. Raises StartError."""
    path = saved_path(settings)
    result = {
        "schema": SCHEMA,
        "ts": format_instant(at),
        "fqdn": settings.fqdn,
        "counts": {level.value: count for level, count in tally(findings).items()},
        "findings": [as_json(finding, at) for finding in findings],
    }
    put(path, result)
    return path


def put(path: Path, result: Mapping[str, object]) -> None:
    """Put a result in the place of the one before, for the daemon's user and group. Raises StartError."""
    try:
        dress = partial(_dress, owner=path.parent.stat())
        replace(path, json.dumps(result, indent=1) + "\n", dress)
    except OSError as error:
        raise StartError(f"{path} cannot be written: {error.strerror}") from error


def _dress(descriptor: int, _fresh: Path, *, owner: os.stat_result) -> None:
    with suppress(PermissionError):  # root writes for the daemon
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    os.fchmod(descriptor, _MODE)

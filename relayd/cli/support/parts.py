"""What is in a bundle: each part a name and a way to its text. One that fails says why, and the others are there all the same."""

import asyncio
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from relayd.cli.checking import gather
from relayd.cli.context import now, open_view
from relayd.cli.support.masking import Mask
from relayd.cli.version import version_line
from relayd.config.peek import DEFAULT_STORE, find_store
from relayd.errors import ConfigError
from relayd.store.url import is_file, queue_file

if TYPE_CHECKING:
    from relayd.settings import Settings

LINES = 200  # of each log
_TAIL = 1 << 20  # octets in which they are looked for
_PATIENCE = 20.0  # seconds for a program of the system
_STATUS_LOG = "/var/log/relayd/status.log"
_PROPERTIES = (
    "LoadState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,UnitFileState,FragmentPath,DropInPaths,User,MainPID"
    ",ActiveEnterTimestamp,MemoryCurrent,TasksCurrent,LimitNOFILE"
)
_UNITS = ("relayd.service", "relayd.socket", "relayd-console.service")
Part = tuple[str, Callable[[], str]]


def parts_of(path: str, settings: "Settings | ConfigError", mask: Mask) -> Iterator[Part]:
    """Give the parts for the settings in the file `path`."""
    log = _STATUS_LOG if isinstance(settings, ConfigError) else settings.log.status_log
    yield "version.txt", _versions
    yield "settings.txt", lambda: _settings(settings, mask)
    yield "doctor.jsonl", lambda: _doctor(settings)
    yield "counts.txt", _counts
    yield "disk.txt", lambda: _disk(path, log)
    yield "units.txt", _units
    yield (
        "status-log.jsonl",
        lambda: _last_lines(Path(log)) if log != "-" else "it goes to standard output\n",
    )
    yield "operational-log.txt", _journal


def _versions() -> str:
    packages = sorted(f"{each.name} {each.version}" for each in distributions())
    with Path("/proc/meminfo").open() as file:
        memory = file.readline().strip()
    system = [
        platform.platform(),
        _os_name(),
        f"{os.cpu_count()} processors",
        memory,
        f"at {now():%Y-%m-%dT%H:%M:%SZ}",
    ]
    return "\n".join([version_line(), *system, "", *packages, ""])


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return "no /etc/os-release"


def _settings(settings: "Settings | ConfigError", mask: Mask) -> str:
    if isinstance(settings, ConfigError):
        return "".join(f"mistake: {each}\n" for each in settings.mistakes)
    lines = [f"{name} = {mask.value(name, text)}" for name, text in settings.values]
    lines += [f"# {name}: {source}" for name, source in settings.sources.items()]
    return "\n".join([*lines, *(f"# warning: {each}" for each in settings.warnings), ""])


def _doctor(settings: "Settings | ConfigError") -> str:
    from relayd.doctor import CheckRequest  # noqa: PLC0415 -- takes the resolver and more
    from relayd.doctor.daemon import ask_daemon, check_as_service, check_daemon  # noqa: PLC0415
    from relayd.doctor.saved import as_json  # noqa: PLC0415
    from relayd.logs.operational import silenced  # noqa: PLC0415

    if isinstance(settings, ConfigError):
        raise settings
    at = now()
    found = [check_daemon(settings, ask_daemon(settings)), *check_as_service(settings)]
    with silenced():
        found += asyncio.run(gather(settings, CheckRequest(), {}))
    return "".join(f"{json.dumps(as_json(each, at), ensure_ascii=False)}\n" for each in found)


def _counts() -> str:
    from relayd.answers.overview import counts_of  # noqa: PLC0415

    with open_view() as view:
        counts = counts_of(view)
    lines = [f"{status}: {number}" for status, number in counts.by_status.items()]
    lines += [
        f"paused: {counts.paused}, pause rules: {len(counts.pause_rules)}",
        "",
        "destinations with most mail:",
    ]
    lines += [f"{name}: {number}" for name, number in counts.most_queued(20)]
    lines += [f"{name} is paused until {until}" for name, until in counts.paused_until.items()]
    return "\n".join([*lines, ""])


def _disk(path: str, log: str) -> str:
    store = find_store(path) or DEFAULT_STORE
    queue = queue_file(store) if is_file(store) else None
    folders = [Path(path).parent, Path(log).parent, *([queue.parent] if queue else [])]
    lines = []
    for folder in dict.fromkeys(folders):
        usage, inodes = shutil.disk_usage(folder), os.statvfs(folder).f_favail
        lines.append(
            f"{folder}: {usage.total >> 20} MiB, {usage.free >> 20} MiB free, {inodes} inodes free"
        )
    files = [Path(f"{queue}{end}") for end in ("", "-wal", "-shm") if queue]
    lines += [f"{file}: {file.stat().st_size} octets" for file in files if file.exists()]
    return "\n".join([*lines, ""])


def _last_lines(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL, 0))
        lines = file.read(_TAIL).decode(errors="replace").splitlines()
    return "".join(f"{line}\n" for line in lines[-LINES:])


def _units() -> str:
    return "\n".join(_said("systemctl", "show", unit, "-p", f"Id,{_PROPERTIES}") for unit in _UNITS)


def _journal() -> str:
    return _said(
        "journalctl", "-u", "relayd", "-n", str(LINES), "-o", "short-iso", "--no-pager", "-q"
    )


def _said(program: str, *arguments: str) -> str:
    """Return what a program of the system prints."""
    found = shutil.which(program)
    if found is None:
        return f"there is no {program}\n"
    done = subprocess.run(  # noqa: S603 -- found in the path, words of our own
        [found, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PATIENCE,
        check=False,
    )
    return (
        done.stdout or f"{program} says nothing: {done.stderr.strip()[:200] or done.returncode}\n"
    )

"""Where the tests keep their files: in memory, where there is room.

Every queue begins with a log of 36 MiB that is synced, and a run makes hundreds of them: on a disk most of
its time is that. Tests kill processes and never the machine, so the disk would prove nothing more. A secret in memory may be
one that a container was given; tests of who may read one have `disk_path`.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = "/dev/shm"
_ROOM = 4 * 1024**3  # octets; the files of a test go when it has passed


def _is_fit() -> bool:
    """Tell whether files can be kept there, and programs among them run."""
    try:
        disk = os.statvfs(_MEMORY)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize >= _ROOM and not disk.f_flag & os.ST_NOEXEC


if "TMPDIR" not in os.environ and _is_fit():
    os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = _MEMORY


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that the test starts are not measured by coverage.

    Measuring takes twice their time. For tests of volume, and of processes that are killed: those leave
    no figures anyway.
    """
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A directory that is not in memory."""
    with tempfile.TemporaryDirectory(prefix="relayd-", dir="/var/tmp") as name:
        yield Path(name)

"""A crash of a running relay leaves no core, whatever the shell or the system allows."""

import os
import re
import signal
import sys
from contextlib import closing
from pathlib import Path
from subprocess import Popen

from tests.support.daemon import ROOT, Daemon, a_smarthost, eventually

# Where a core would be seen, with as large a one as may be.
IN_FOLDER = 'cd "$0" && ulimit -c "$(ulimit -Hc)" && PYTHONPATH="$1" && export PYTHONPATH && shift && exec "$@"'


def test_neither_a_worker_nor_the_supervisor_leaves_a_core(tmp_path: Path) -> None:
    """In a shell without the unit's LimitCORE=0 (A-33)."""
    with (
        a_smarthost() as smarthost,
        closing(Daemon(tmp_path, smarthost.port, workers=1)) as daemon,
    ):
        daemon.up("sh", "-c", IN_FOLDER, str(tmp_path), str(ROOT))
        assert isinstance(daemon.process, Popen)
        supervisor, worker = daemon.process.pid, daemon.events("worker_started")[-1]["pid"]
        for pid in (supervisor, worker):
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"(?m)^Max core file size +0 +0 ", limits)
        os.kill(worker, signal.SIGSEGV)
        ended = eventually(lambda: daemon.events("worker_ended"), "the worker has crashed")
        assert ended[0]["signal"] == signal.SIGSEGV
        os.kill(supervisor, signal.SIGABRT)
        _, status = os.waitpid(supervisor, 0)
        daemon.process.returncode = os.waitstatus_to_exitcode(status)
        assert os.WTERMSIG(status) == signal.SIGABRT
        assert not os.WCOREDUMP(status)
        assert not [each for each in tmp_path.iterdir() if each.name.startswith("core")]


def test_the_same_shell_lets_another_program_leave_one(tmp_path: Path) -> None:
    """What the test above would see."""
    command = ["sh", "-c", IN_FOLDER, str(tmp_path), str(ROOT), sys.executable, "-c"]
    pid = os.posix_spawnp("sh", [*command, "import os; os.abort()"], os.environ)
    _, status = os.waitpid(pid, 0)
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert os.WCOREDUMP(status) == any(
        each.name.startswith("core") for each in tmp_path.iterdir()
    ) or pattern.startswith(("|", "/"))
